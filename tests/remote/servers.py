"""What the tests of servers share: an entry, a run without Prefect, pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from infra.adapters.remote.breaker import Breaker
from infra.adapters.remote.connection import HttpConnection
from pipelines.backends.base import Frame, GeneratedClip, VideoBackend
from pipelines.backends.remote.access import Connection, RemoteAccess
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.driver import definition_of
from pipelines.backends.remote.kinds import kinds
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.keys import Digest
from pipelines.schema.request import ClipInput, ClipRequest, Continuation, FirstFrame
from pipelines.schema.sizes import Size
from tests.support.remote import Kills, RunHost, World

SIZE = Size(64, 48)
ENTRY: dict[str, Any] = {
    "name": "box-2",
    "model": "Wan2.2-TI2V-5B",
    "revision": "3",
    "fps": 16,
    "sizes": ["64x48", "48x64"],
    "frames": 9,
    "max_frames": 81,
    "inputs": ["first_frame", "continuation"],
    "steps": 12,
    "timeout_seconds": 60,
}
PICTURE = FirstFrame(picture=Digest("a" * 64))
GOES_ON = Continuation(chunk=Digest("b" * 64), frames=1)


def config_of(kind: str, address: str, **changes: Any) -> RemoteConfig:
    """The entry of a server."""
    values = {**ENTRY, "kind": kind, "address": address, **changes}
    return kinds()[kind].config.model_validate(values)


class Host(RunHost):
    """A run that speaks HTTP, and whose journal outlives it."""

    def __init__(self, world: World, tool: Ffmpeg, folder: Path, **more: Any) -> None:
        super().__init__(world, Kills(), tool, folder, **more)
        self.world = world

    def connection(self, config: RemoteConfig) -> Connection:
        return HttpConnection(config, breaker=Breaker(), pause=lambda _: None)

    def remote(self, config: RemoteConfig) -> RemoteAccess:
        return replace(self.access, connection=self.connection(config))


@dataclass
class Pictures:
    """An InputMedia of grey pictures, each with a level of its own."""

    asked: list[Size] = field(default_factory=list)

    def picture(self, digest: Digest, size: Size, *, whole: bool = False) -> Frame:
        assert digest == PICTURE.picture
        self.asked.append(size)
        return np.full((size.height, size.width, 3), 90, np.uint8)

    def overlap(self, given: Continuation) -> Sequence[Frame]:
        return [np.full((SIZE.height, SIZE.width, 3), 200, np.uint8)] * given.frames

    def video(self, *_: Any) -> Sequence[Frame]:
        raise AssertionError("no server takes a video")


def request_of(*inputs: ClipInput, **changes: Any) -> ClipRequest:
    values = {
        "prompt": "a red ball, é ☃",
        "negative": "blue",
        "size": SIZE,
        "fps": 16,
        "frames": 9,
        "seed": 2**32 - 1,
        "options": {"steps": 12},
    }
    return ClipRequest(inputs=inputs, **{**values, **changes})


def backend_of(config: RemoteConfig, host: Host) -> VideoBackend:
    definition = definition_of(config, kinds()[config.kind])
    return definition.create(host, frozenset({"text"}))  # type: ignore[arg-type]


def generate(
    config: RemoteConfig, host: Host, request: ClipRequest
) -> tuple[GeneratedClip, list[Frame]]:
    """What a run does for a video of one chunk."""
    with backend_of(config, host).open() as session:
        session.prepare([request])
        clip = session.generate(request, Pictures(), lambda done, total: None)
        return clip, list(clip.frames)
