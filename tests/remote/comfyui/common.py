"""What the tests of ComfyUI share: a small workflow, media, a request, and a service."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infra.adapters.remote.breaker import Breaker
from infra.adapters.remote.connection import HttpConnection
from pipelines.backends.base import Frame, Sound
from pipelines.backends.remote.comfyui.config import SHIPPED, ComfyConfig
from pipelines.backends.remote.comfyui.entry import service
from pipelines.backends.remote.comfyui.reading import read_workflow
from pipelines.backends.remote.comfyui.service import ComfyService
from pipelines.backends.remote.service import JobStatus
from pipelines.schema.keys import Digest
from pipelines.schema.request import AudioTrack, ClipInput, ClipRequest
from pipelines.schema.sizes import Size
from tests.backends.host import ArrayMedia
from tests.support.fake_comfyui import FakeComfy

KEY = "0b0f5b3e-8f0c-5d1e-9c58-0123456789ab"
SIZE = Size(64, 48)
PICTURE, OTHER, SPEECH, MOTION, BEFORE = (Digest(letter * 64) for letter in "abcde")
GRAPH: dict[str, Any] = {
    "1": {
        "class_type": "UNETLoader",
        "inputs": {"unet_name": "tiny.safetensors", "weight_dtype": "default"},
    },
    "2": {"class_type": "CLIPLoader", "inputs": {"clip_name": "text.safetensors", "type": "wan"}},
    "3": {"class_type": "VAELoader", "inputs": {"vae_name": "vae.safetensors"}},
    "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["2", 0]}},
    "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["2", 0]}},
    "6": {"class_type": "LoadImage", "inputs": {"image": "first.png"}},
    "7": {
        "class_type": "WanImageToVideo",
        "inputs": {
            "positive": ["4", 0],
            "negative": ["5", 0],
            "vae": ["3", 0],
            "width": 64,
            "height": 48,
            "length": 17,
            "batch_size": 1,
            "start_image": ["6", 0],
        },
    },
    "8": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["1", 0],
            "seed": 0,
            "steps": 4,
            "cfg": 5.0,
            "sampler_name": "uni_pc",
            "scheduler": "simple",
            "positive": ["7", 0],
            "negative": ["7", 1],
            "latent_image": ["7", 2],
            "denoise": 1.0,
        },
    },
    "9": {"class_type": "VAEDecode", "inputs": {"samples": ["8", 0], "vae": ["3", 0]}},
    "10": {"class_type": "CreateVideo", "inputs": {"images": ["9", 0], "fps": 8.0}},
    "11": {
        "class_type": "SaveVideo",
        "inputs": {"video": ["10", 0], "filename_prefix": "x", "format": "mp4", "codec": "auto"},
    },
}
MODELS = {
    "diffusion_models": ["tiny.safetensors"],
    "text_encoders": ["text.safetensors"],
    "vae": ["vae.safetensors"],
}
MAPPING = """\
title: Tiny
model: tiny
licence: none
fps: 8
frames: {step: 4, min: 5, max: 33}
sizes: ["64*48", "48*64"]
output: "11"
sampler: "8"
values:
  prompt: 4.text
  negative: 5.text
  seed: 8.seed
  width: 7.width
  height: 7.height
  frames: 7.length
  fps: 10.fps
  steps: 8.steps
first_frame: 6.image
continuation: {frames: 1, picture: 6.image}
models:
  - {file: tiny.safetensors, folder: diffusion_models, url: "https://example.org/tiny"}
presets:
  - {title: Tiny, size: "64*48", frames: 17}
"""


class Media(ArrayMedia):
    """Media that have sounds, too."""

    def sound(self, given: AudioTrack, fps: int, frames: int) -> Sound:
        rate = 16_000
        times = np.arange(given.start * rate // fps, (given.start + frames) * rate // fps) / rate
        tone = 0.5 * np.sin(2 * np.pi * 440 * times)
        return Sound(tone[:, None].astype(np.float32), rate)


def picture(shade: int, size: Size = SIZE) -> Frame:
    return np.full((size.height, size.width, 3), shade, np.uint8)


MEDIA = Media(
    pictures={PICTURE: picture(40), OTHER: picture(200)},
    overlaps={BEFORE: [picture(30 + 10 * number) for number in range(9)]},
    videos={"pose": [picture(10 * number) for number in range(20)]},
)


def request(*inputs: ClipInput, size: Size = SIZE, **changes: Any) -> ClipRequest:
    values: dict[str, Any] = {
        "prompt": "a ball",
        "negative": "blurred",
        "fps": 8,
        "frames": 17,
        "seed": 7,
    }
    return ClipRequest(size=size, inputs=inputs, **{**values, **changes})


def write_workflow(folder: Path, mapping: str = MAPPING, graph: Mapping[str, Any] = GRAPH) -> Path:
    path = folder / "tiny.json"
    path.write_text(json.dumps(graph, indent=1))
    path.with_suffix(".yaml").write_text(mapping)
    return path


def config_of(fake: FakeComfy, workflow: Path | str, **changes: Any) -> ComfyConfig:
    values = {
        "name": "comfy",
        "kind": "comfyui",
        "address": fake.url,
        "workflow": str(workflow),
        "timeout_seconds": 20,
    }
    return ComfyConfig.model_validate({**values, **changes})


def service_of(fake: FakeComfy, workflow: Path | str, **changes: Any) -> ComfyService:
    config = config_of(fake, workflow, **changes)
    connection = HttpConnection(config, breaker=Breaker(), pause=lambda _: None)
    return service(config, connection)


def models_of(name: str) -> dict[str, list[str]]:
    """The model files that a shipped workflow needs, by folder."""
    workflow = read_workflow(SHIPPED / f"{name}.json", SHIPPED / f"{name}.yaml")
    found: dict[str, list[str]] = {}
    for model in workflow.mapping.models:
        found.setdefault(model.folder, []).append(model.file)
    return found


def until(service: ComfyService, ended: Callable[[JobStatus], bool], most: int = 100) -> JobStatus:
    """Ask for the job KEY until it is as the test waits for."""
    for _ in range(most):
        status = service.look(KEY)
        if ended(status):
            return status
        time.sleep(0.02)  # each question moves the fake on; its progress comes by another thread
    raise AssertionError(f"after {most} questions the job is still {status}")


def ends(service: ComfyService) -> JobStatus:
    return until(service, lambda status: status.state not in ("queued", "running"))
