"""One video model at a time, whichever backend it belongs to."""

from pathlib import Path

from pipelines.backends.registry import definitions
from pipelines.schema.sizes import Size
from tests.backends.host import MemoryHost
from tests.backends.wan_models import (
    TinyModels,
    backend_of,
    freed,
    generate,
    request_for,
    tiny_models,
)
from tests.tiny.animatediff import write_animatediff

__all__ = ["tiny_models"]  # a fixture


def test_a_backend_s_model_replaces_that_of_another_backend(
    tiny_models: TinyModels, tmp_path: Path
) -> None:
    write_animatediff(tmp_path)
    draft = definitions()["animatediff"]
    folders = {"sd15": tmp_path / "base", "animatediff-adapter": tmp_path / "adapter"}
    models = {"t2v-14B": tiny_models["t2v-14B"], **folders}
    with freed(MemoryHost(tmp_path / "cache", models)) as host:
        generate(backend_of("wan-t2v-14b", host), request_for("wan-t2v-14b"))
        options = draft.presets[0].options.replaced(steps=1)
        request = request_for("wan-t2v-14b", frames=8).model_copy(
            update={"fps": 8, "size": Size(8, 16), "options": options.model_dump()}
        )
        generate(backend_of("animatediff", host), request)
        assert host.history[-2:] == ["free video", "load video"]
        assert set(host.loaded) <= {"encoder", "video"}
