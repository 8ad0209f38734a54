"""llama-cpp-python is compiled once for a machine; later environments install the kept wheel.

`python -m infra.apps.llama_wheel` installs the build for the CPU, which `make` does before the
other packages. `llama_build` asks for the build with CUDA.

pip keeps wheels too, but by version and interpreter alone: it would install one that was compiled
with other options, or for another processor. So nothing of its cache is used here. It runs before
the project's packages are installed, so it imports the standard library only.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from infra.apps.set_up import run_pip

PACKAGE = "llama-cpp-python"
_CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
_CPUINFO = Path("/proc/cpuinfo")
_DECIDING = (
    "CMAKE_ARGS",
    "FORCE_CMAKE",
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "LDFLAGS",
    "CUDAHOSTCXX",
)
"""Variables of the user that change what is compiled."""


class WheelError(Exception):
    """Why there is no wheel, and the remedy, in a sentence."""


def pinned() -> str:
    """The version in constraints.txt."""
    lines = _CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    return pins["llama_cpp_python"]


def kept_in(version: str, variables: Mapping[str, str], made_with: str = "") -> Path:
    """The folder of the wheel that is compiled with `variables` beside those of this process.

    Its name is a digest over all that decides what is compiled: version, options, system, what the
    processor can do, because llama.cpp is compiled for the one at hand, and `made_with`: whatever
    else the caller knows to matter. The interpreter is left out: the library is called through
    ctypes, so one build serves them all.
    """
    environment = os.environ | dict(variables)
    decides = {
        "version": version,
        "variables": {name: environment.get(name, "") for name in (*_DECIDING, *variables)},
        "system": [sysconfig.get_platform(), *platform.libc_ver()],
        "processor": _processor(),
        "made with": made_with,
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "reelwright" / "wheels" / digest[:20]


def wheel_in(folder: Path) -> Path | None:
    """The wheel in `folder` that this interpreter can install: one for every Python 3, or one for
    its own version. None if there is none."""
    major, minor = sys.version_info[:2]
    for tag in ("py3-none", f"cp{major}{minor}-*"):
        if found := sorted(folder.glob(f"*-{tag}-*.whl")):
            return found[0]
    return None


def _processor() -> str:
    """What the processor can do, as Linux says it; its name elsewhere."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    found = {line for line in lines if line.partition("\t")[0] in ("flags", "Features")}
    return "\n".join(sorted(found)) or platform.processor()


def wheel(
    version: str,
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    made_with: str = "",
) -> Path:
    """The kept wheel, compiled now if there is none.

    `options` go to `pip wheel`, `variables` to its environment, `made_with` into the wheel's key.
    Raises WheelError if it fails.
    """
    variables = variables or {}
    folder = kept_in(version, variables, made_with)
    if found := wheel_in(folder):
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Complete or absent, also if two environments are set up at once.
        made = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
    except OSError as error:
        raise WheelError(
            f"{folder.parent} cannot be written ({error}); set XDG_CACHE_HOME to a folder that can"
        ) from error
    try:
        how = ["--no-deps", "--no-cache-dir", "--wheel-dir", str(made), *options]
        code = run_pip(["wheel", *how, f"{PACKAGE}=={version}"], variables=variables)
        if code:
            raise WheelError(f"the build failed with code {code}; its last lines say why")
        folder.mkdir(mode=0o700, exist_ok=True)
        built = [item.replace(folder / item.name) for item in sorted(made.glob("*.whl"))]
    finally:
        shutil.rmtree(made, ignore_errors=True)
    if not built:
        raise WheelError(
            f"pip reported success but left no wheel of {PACKAGE} {version}; .venv/set-up.log says "
            "why"
        )
    return built[0]


def install(path: Path) -> None:
    """Put that wheel in the place of whatever build is installed. Raises WheelError."""
    how = ["--force-reinstall", "--no-deps", "--no-cache-dir", "--no-compile"]
    if code := run_pip(["install", *how, str(path)]):
        raise WheelError(
            f"{path} cannot be installed (pip's code is {code}); remove {path.parent} to build "
            "again"
        )


def main() -> int:
    """Install the pinned version unless it is installed. Returns the exit code."""
    version = pinned()
    try:
        if metadata.version(PACKAGE) == version:
            return 0
    except metadata.PackageNotFoundError:
        pass
    try:
        kept = kept_in(version, {})
        if wheel_in(kept) is None:
            sys.stdout.write(
                f"Compiling llama.cpp for this machine (minutes; once; kept in {kept})\n"
            )
        install(wheel(version))
    except WheelError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
