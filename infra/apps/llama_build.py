"""`make studio`: builds llama-cpp-python with CUDA for the cards of this machine.

It runs before the project's packages are installed, so it imports the standard library only.
"""

import argparse
import importlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from infra.apps.llama_wheel import PACKAGE, WheelError, kept_in, pinned, wheel
from infra.apps.llama_wheel import install as install_wheel

_MODULE, _LIBRARY = "llama_cpp", "lib/libggml-cuda.so"
"""The module, and the file below it that only a build with CUDA has."""
_RECORD = "llama-cuda.json"
"""File in the virtual environment that says what was built."""
_NVCC = ("/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc")
"""Where CUDA's installers put the compiler without adding it to PATH."""
_NATIVE = "native"
"""CMake's word for the cards that it finds itself."""
_SECONDS = 60.0


class BuildError(Exception):
    """Why nothing was built, and the remedy, in a sentence."""


@dataclass(frozen=True)
class Build:
    """A build of llama-cpp-python: what is compiled, for what, with what."""

    version: str
    architectures: str
    """As CMake wants them: `120` for compute capability 12.0, several with `;` between them."""
    nvcc: str
    """Path of CUDA's compiler."""
    cuda: str
    """Version of CUDA's compiler, as in `12.8`."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the build, beside those of this process."""
        ours = f"-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES={self.architectures}"
        given = os.environ.get("CMAKE_ARGS", "")
        return {"CMAKE_ARGS": f"{given} {ours}".strip(), "CUDACXX": self.nvcc}

    @property
    def options(self) -> list[str]:
        """Options of `pip wheel`: from source; an index may have wheels for the CPU."""
        return ["--no-binary", PACKAGE]

    @property
    def made_with(self) -> str:
        """What decides about the build beside its environment: CUDA's version, and the host where
        CMake looks for the cards itself."""
        return f"CUDA {self.cuda} {platform.node() if self.architectures == _NATIVE else ''}"


def wanted_build() -> Build:
    """The build for this machine. Raises BuildError if it has no NVIDIA card or no compiler for
    it."""
    architectures = _architectures()
    nvcc = _nvcc()
    said = _output([nvcc, "--version"])
    release = re.search(r"release (\d+\.\d+)", said)
    if release is None:
        raise BuildError(f"{nvcc} does not say its version: {said[:200]!r}; install CUDA again")
    build = Build(pinned(), ";".join(architectures), nvcc, release[1])
    known = re.findall(r"compute_(\d+)", _output([nvcc, "--list-gpu-arch"]))
    lacking = [item for item in architectures if item not in (*known, _NATIVE)]
    if lacking:
        raise BuildError(
            f"{nvcc} of CUDA {build.cuda} does not know compute capability "
            f"{_capability(lacking[0])} of the card here; install a toolkit that does: 12.8 or "
            "newer for an RTX 50 (12.0), 12 for a card below 7.5"
        )
    return build


def _architectures() -> list[str]:
    """Compute capabilities of all cards, without the point, each once and the lowest first."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        raise BuildError(
            "no NVIDIA driver is here (nvidia-smi is not on PATH), so nothing is built; install "
            "the driver on a GPU host, or use make demo on a machine without a GPU"
        )
    try:
        said = _output([smi, "--query-gpu=compute_cap", "--format=csv,noheader"])
    except BuildError as error:
        if "not a valid field" in str(error):
            return [_NATIVE]  # a driver from before that question; the card answers CMake
        raise BuildError(f"{error}; repair the driver, so nothing is built yet") from error
    found = {line.strip() for line in said.splitlines() if line.strip()}
    wrong = [item for item in found if not re.fullmatch(r"\d+\.\d", item)]
    if wrong or not found:
        raise BuildError(
            f"nvidia-smi names no NVIDIA card ({said.strip()[:200]!r}), so nothing is built; look "
            "at the driver, or use make demo on a machine without a GPU"
        )
    return sorted((item.replace(".", "") for item in found), key=int)


def _nvcc() -> str:
    """CUDA's compiler: of CUDACXX, of PATH, of CUDA_HOME, or where installers put it."""
    named = os.environ.get("CUDACXX")
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    places = [shutil.which("nvcc"), *(f"{home}/bin/nvcc" for home in homes), *_NVCC]
    for place in [named] if named else places:
        if place and shutil.which(place):
            return place
    raise BuildError(
        f"CUDA's compiler is missing ({named or 'nvcc'} is not there), so nothing is built; "
        "install the CUDA toolkit, 12.8 or newer for an RTX 50, or set CUDACXX to its nvcc"
    )


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]} does not run ({error}); repair it") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise BuildError(f"{command[0]} failed with code {done.returncode}: {''.join(last)}")
    return done.stdout


def _capability(architecture: str) -> str:
    return f"{architecture[:-1]}.{architecture[-1]}"


def _library() -> Path | None:
    """The library that a build with CUDA has, if such a build is installed."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(_MODULE)
    path = Path(spec.origin).parent / _LIBRARY if spec and spec.origin else None
    return path if path and path.exists() else None


def is_installed(build: Build, record: Path) -> bool:
    """Whether exactly that build was recorded and is still what is installed."""
    try:
        recorded = json.loads(record.read_text(encoding="utf-8"))
        version = metadata.version(PACKAGE)
    except (OSError, ValueError, metadata.PackageNotFoundError):
        return False
    return recorded == asdict(build) and version == build.version and _library() is not None


def install(build: Build, record: Path) -> None:
    """Build and install, and record it. Raises BuildError if that fails; then nothing is recorded
    and the next call builds again."""
    record.unlink(missing_ok=True)
    try:
        made = wheel(build.version, build.options, build.environment, build.made_with)
        install_wheel(made)
    except WheelError as error:
        raise BuildError(
            f"{error}. If the compiler refused: too new a C++ compiler for this CUDA is the usual "
            "cause; set CUDAHOSTCXX to an older one"
        ) from error
    if _library() is None:
        shutil.rmtree(made.parent)  # what lacks CUDA is not kept
        raise BuildError(
            f"{PACKAGE} was built without {_LIBRARY}: CMake did not find the CUDA toolkit of "
            f"{build.nvcc}; install the whole toolkit, not the compiler alone"
        )
    temporary = record.with_suffix(".part")
    temporary.write_text(json.dumps(asdict(build), indent=1) + "\n", encoding="utf-8")
    temporary.replace(record)


def check() -> None:
    """Raises BuildError if the llama.cpp that is installed does not load, or finds no GPU."""
    program = f"import {_MODULE}; print({_MODULE}.llama_supports_gpu_offload())"
    try:
        said = _output([sys.executable, "-c", program])
    except BuildError as error:
        raise BuildError(
            f"llama.cpp does not load: {error}; install the CUDA toolkit that it was built with"
        ) from error
    if said.split()[-1:] != ["True"]:
        raise BuildError(
            "llama.cpp is built with CUDA and finds no GPU; look at the driver with nvidia-smi: it "
            "must be as new as the toolkit of the build"
        )


def main() -> int:
    """Build if it is needed, or check what was built. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="say what would be built")
    parser.add_argument("--check", action="store_true", help="only whether a GPU is found")
    record = Path(sys.prefix) / _RECORD
    parser.add_argument("--record", type=Path, default=record, help="what was built last time")
    arguments = parser.parse_args()
    try:
        if arguments.check:
            check()
            return 0
        build = wanted_build()
        if is_installed(build, arguments.record):
            _say(f"llama.cpp {build.version} is built with CUDA for {build.architectures}")
            return 0
        cards = ", ".join(map(_capability, build.architectures.split(";")))
        cards = cards if build.architectures != _NATIVE else "the cards that CMake finds"
        _say(
            f"Building {PACKAGE} {build.version} with {build.nvcc} of CUDA {build.cuda} for "
            f"compute capability {cards} (it takes minutes; once)"
        )
        if arguments.dry_run:
            settings = [f"{name}={value}" for name, value in build.environment.items()]
            kept = kept_in(build.version, build.environment, build.made_with)
            _say("\n".join([*settings, f"{PACKAGE}=={build.version}, kept in {kept}"]))
        else:
            install(build, arguments.record)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # before the output of pip


if __name__ == "__main__":
    sys.exit(main())
