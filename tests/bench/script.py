"""Run by `tests.bench`: the same film as a plain script would make it, with stock parts.

diffusers' pipeline, `export_to_video` for every chunk, ffmpeg's concat, then RealESRGANer on
every frame and `export_to_video` again. Models are loaded before the clock starts.
"""

import subprocess
import tempfile
from pathlib import Path

from tests.bench.common import FRAMES, GUIDANCE, PROMPT, SIZE, STEPS, measured, rss_mb


def main() -> None:
    import av
    import imageio_ffmpeg
    import torch
    from diffusers import WanPipeline
    from diffusers.utils import export_to_video
    from PIL import Image
    from safetensors.torch import load_file

    from infra.adapters.weights.library import installed_model
    from tests.bench import MODELS, weights
    from tests.pipelines.test_upscaling import reference

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        upscaler = reference(load_file(weights()), compact=True, tmp_path=folder)
        pipeline = WanPipeline.from_pretrained(
            installed_model(MODELS, "tiny-wan").path, dtype=torch.float32
        )
        pipeline.set_progress_bar_config(disable=True)

        def work() -> None:
            clips = []
            for chunk in range(4):
                frames = pipeline(
                    PROMPT,
                    "",
                    width=SIZE[0],
                    height=SIZE[1],
                    num_frames=FRAMES,
                    num_inference_steps=STEPS,
                    guidance_scale=GUIDANCE,
                    generator=torch.Generator("cpu").manual_seed(chunk),
                ).frames[0]
                clips.append(folder / f"{chunk}.mp4")
                export_to_video(list(frames), str(clips[-1]), fps=16)
            playlist = folder / "list.txt"
            playlist.write_text("".join(f"file '{clip}'\n" for clip in clips))
            film = folder / "film.mp4"
            ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "concat"]
            subprocess.run([*ffmpeg, "-safe", "0", "-i", playlist, "-c", "copy", film], check=True)
            large = []
            with av.open(str(film)) as container:
                for frame in container.decode(video=0):
                    picture = frame.to_ndarray(format="bgr24")
                    enlarged, _ = upscaler.enhance(picture, outscale=4)
                    large.append(Image.fromarray(enlarged[..., ::-1].copy()))
            assert len(large) == 4 * FRAMES
            export_to_video(large, str(folder / "large.mp4"), fps=16)

        measured(rss_mb(), work)


if __name__ == "__main__":
    main()
