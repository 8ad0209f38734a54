"""Regional compilation: the repeated blocks of a transformer, compiled once for each shape.

A compilation takes tens of seconds on a GPU and makes every later step of that shape faster. It
happens in `warm` alone: what runs afterwards uses compiled code where there is some for its shape
and never waits for a compiler. A shape that cannot be compiled runs as it did without.

Compiled code lives as long as its process, but the compiler keeps what it made on disk. So a shape
that was compiled once on this machine is compiled in every later process before its first clip:
that only reads it from there, and traces the blocks again. How long that takes was not measured on
a GPU.
"""

import logging
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch

from pipelines.backends.base import Compile
from pipelines.backends.memory import causes, is_device_error, is_out_of_memory
from pipelines.backends.notes import Notes, device_facts
from pipelines.errors import ReelwrightError

Stance = Literal["eager_on_recompile", "force_eager"]
_log = logging.getLogger("reelwright.models")
_COMPILER = "inductor"
_CODE = "TORCHINDUCTOR_CACHE_DIR"
"""Variable of the folder in which the compiler keeps its code."""
_DONE, _FAILED = "compiled", "not compiled"
_SHAPES = 64
"""Shapes that torch may compile of one function; its own limit is 8."""
_compiled: dict[Hashable, bool] = {}
"""Shapes that were tried in this process, and whether they compiled. torch keeps its code by the
function, so that it serves models that are loaded later too."""


class CompiledBlocks:
    """The repeated blocks of transformers that are loaded together."""

    def __init__(
        self,
        mode: Compile,
        transformers: Sequence[Any],
        kind: Hashable,
        folder: Path | None = None,
    ) -> None:
        """Compiles nothing yet. `kind` is what decides the code beside the shape: class, sizes and
        dtype of the transformers. With mode `off` the transformers are left as they are.

        `folder` keeps the code, and what was compiled, for later processes.
        """
        self._mode, self._kind, self._folder = mode, kind, folder
        self._notes: Notes | None = None
        if mode != "off":
            if folder:
                self._notes = Notes(folder / "shapes", device_facts(("diffusers", "triton")))
            torch._dynamo.config.recompile_limit = max(
                _SHAPES, torch._dynamo.config.recompile_limit
            )
            for transformer in transformers:
                transformer.compile_repeated_blocks(
                    fullgraph=True, dynamic=False, backend=_COMPILER
                )

    def wants(self, shape: Hashable) -> bool:
        """Whether `warm` is due before a clip of `shape`, which was not tried yet in this process:
        in mode `auto` if an earlier one has left its code on disk."""
        if self._mode == "off" or (self._kind, shape) in _compiled:
            return False
        kept = self._notes.get(self._name(shape)) if self._notes and self._mode == "auto" else ""
        return self._mode == "on" or kept == _DONE

    def is_compiled(self, shape: Hashable) -> bool:
        """Whether there is compiled code for `shape`."""
        return self._mode != "off" and _compiled.get((self._kind, shape), False)

    def warm(self, shape: Hashable, step: Callable[[], object]) -> bool:
        """Compile for `shape` by doing one `step` of it; whether there is compiled code now.

        What memory and device report is raised, all else is logged and the shape stays as it is.
        """
        key = (self._kind, shape)
        if self._mode == "off" or key in _compiled:
            return self.is_compiled(shape)
        _log.info("compiling for %s", shape)
        if self._folder:
            os.environ.setdefault(_CODE, str(self._folder / "code"))
        try:
            step()
        except Exception as error:
            if isinstance(error, ReelwrightError) or is_out_of_memory(error) or _broken(error):
                raise
            _compiled[key] = False
            self._note(shape, _FAILED)
            _log.warning("not compiled for %s, which runs as without: %s", shape, _in_short(error))
            return False
        _compiled[key] = True
        self._note(shape, _DONE)
        return True

    def _note(self, shape: Hashable, text: str) -> None:
        try:
            if self._notes:
                self._notes.put(self._name(shape), text)
        except OSError as error:
            _log.warning("later processes will not know what was compiled: %s", error)

    def _name(self, shape: Hashable) -> str:
        return f"{self._kind} {shape}"

    @contextmanager
    def code_for(self, shape: Hashable) -> Iterator[None]:
        """Compiled code is used inside if there is some for `shape`, and nothing is compiled."""
        if self._mode == "off":
            yield
            return
        stance: Stance = "eager_on_recompile" if self.is_compiled(shape) else "force_eager"
        with torch.compiler.set_stance(stance):
            yield


def _broken(error: Exception) -> bool:
    """Whether the device itself failed, and not the compiler or a program that it built."""
    compiler = torch._dynamo.exc.TorchDynamoException
    return is_device_error(error) and not any(isinstance(item, compiler) for item in causes(error))


def _in_short(error: Exception) -> str:
    """Its first two lines: the first one of the compiler's errors says only that there is a cause,
    and pages of code follow the second."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2]) or 'no words'}"
