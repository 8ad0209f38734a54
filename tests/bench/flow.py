"""Run by `tests.bench`: our flow on BENCH_CHUNKS chunks, servers being there."""

import gc
import os

from tests.bench.common import FRAMES, PROMPT, SIZE, STEPS, measured, rss_mb


def loaded_models_mb() -> float:
    """Memory with all libraries and both networks loaded, as the script holds them too."""
    import torch

    from infra.adapters.weights.library import installed_model
    from pipelines.backends.wan.denoiser import WanDenoiser
    from pipelines.backends.wan.loading import Source
    from pipelines.upscaling.network import RealEsrgan, UpscaleOptions
    from tests.bench import MODELS, weights

    video = installed_model(MODELS, "tiny-wan").path
    cpu = torch.device("cpu")
    models = (
        WanDenoiser(Source(video, "text", dtype="float32"), cpu),
        RealEsrgan(weights(), cpu, UpscaleOptions()),
    )
    loaded = rss_mb()
    del models
    gc.collect()
    return loaded


def main() -> None:
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.produce_content import produce_content
    from pipelines.documents.brief import Brief

    loaded = loaded_models_mb()
    chunks = int(os.environ["BENCH_CHUNKS"])
    brief = Brief(
        prompt=PROMPT,
        seconds=chunks * FRAMES / 16,
        size=f"{SIZE[0]}*{SIZE[1]}",
        steps=STEPS,
        upscale=int(os.environ.get("BENCH_UPSCALE", "4")),
        seed=int(os.environ.get("BENCH_SEED", "0")),
        enhance=False,
    )

    def work() -> None:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            manifest = produce_content(brief)
        assert (manifest.run.chunks_made, manifest.clip.frames) == (chunks, chunks * FRAMES)

    measured(loaded, work)


if __name__ == "__main__":
    main()
