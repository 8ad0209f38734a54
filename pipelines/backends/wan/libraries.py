"""Classes that Wan's backends take from libraries which load them by name."""

LIBRARIES = {
    "diffusers": (
        "AutoencoderKLWan",
        "UniPCMultistepScheduler",
        "WanImageToVideoPipeline",
        "WanPipeline",
        "WanTransformer3DModel",
        "WanVACEPipeline",
        "WanVACETransformer3DModel",
    ),
    "transformers": ("AutoTokenizer", "UMT5EncoderModel"),
}
