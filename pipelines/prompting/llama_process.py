"""A child process that runs a language model, and the program that runs in it."""

import inspect
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from pipelines import processes
from pipelines.errors import EnhancerError
from pipelines.prompting import llama_child, llama_tokens
from pipelines.prompting.placement import Placement

_BOOT = """
import json, sys, types
for name, source in {sources!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
module.main(sys.argv[1], json.loads(sys.argv[2]))
"""


def _program_of(*modules: ModuleType) -> str:
    """The child's program: the sources of `modules`, of which the last one is run.

    They are given to it as text. If the child read the files, it could read those of another
    version.
    """
    sources = [(module.__name__, inspect.getsource(module)) for module in modules]
    return _BOOT.format(sources=sources)


_PROGRAM = _program_of(llama_tokens, llama_child)


def _placement_in(answer: dict[str, Any]) -> Placement:
    try:
        return Placement.of(answer)
    except KeyError as error:
        raise EnhancerError(f"the enhancer answered nonsense: it left out {error}") from error


def _environment(*, sees_gpu: bool) -> Mapping[str, str] | None:
    """The child's environment. Without layers on the GPU it sees none: a llama.cpp that is built
    with CUDA would have a context there, and compute prompts with it, all the same."""
    return None if sees_gpu else os.environ | {"CUDA_VISIBLE_DEVICES": ""}


class LlamaProcess:
    """A child process that has loaded a model.

    Raises EnhancerError from its constructor if the model does not load within `timeout` seconds.
    """

    def __init__(
        self, model: Path, arguments: Mapping[str, Any], timeout: float, *, sees_gpu: bool
    ) -> None:
        """`arguments` are those of `llama_cpp.Llama`."""
        argv = [sys.executable, "-c", _PROGRAM, str(model), json.dumps(arguments)]
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        self._process = processes.start_child(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(sees_gpu=sees_gpu),
        )
        self._buffer = b""
        try:
            answer = self._read(timeout)
            if not answer.get("ready"):
                raise EnhancerError(f"the enhancer's model does not load: {answer.get('error')}")
            self.placement = _placement_in(answer)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, message: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """The response to `message`. Raises EnhancerError if there is none within `timeout`
        seconds; the process must not be asked again then."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EnhancerError(self._reason_of_exit()) from error
        return self._read(timeout)

    def _read(self, timeout: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise EnhancerError(f"the enhancer gave no answer within {timeout:g} s")
                data = os.read(self._process.stdout.fileno(), 65536)
                if not data:
                    raise EnhancerError(self._reason_of_exit())
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise EnhancerError(f"the enhancer answered nonsense: {line[:80]!r}") from error
        if not isinstance(answer, dict):
            raise EnhancerError(f"the enhancer answered nonsense: {line[:80]!r}")
        return answer

    def _reason_of_exit(self) -> str:
        code = processes.stop(self._process, 1.0)
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return f"the enhancer's process died (code {code}) {' '.join(last)}".strip()

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # the child died before it read the request
        processes.stop(self._process, 2.0)
        self._errors.close()
