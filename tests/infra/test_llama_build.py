"""llama.cpp is compiled once: for the card that is there, or for the CPU; why not, if it fails."""

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.apps.llama_wheel import kept_in

REPOSITORY = Path(__file__).parents[2]
PINNED = "0.3.36"
NVCC = """case "$1" in
--version) echo "Cuda compilation tools, release {release}, V{release}.1" ;;
--list-gpu-arch) printf 'compute_{known}\\n' ;;
esac"""
WHEEL = f"llama_cpp_python-{PINNED}-py3-none-linux_x86_64.whl"
PIP = f"""
import json, os, pathlib, shutil, sys
home = pathlib.Path(__file__).parents[1]
variables = [os.environ.get("CMAKE_ARGS", ""), os.environ.get("CUDACXX", "")]
if "wheel" in sys.argv:
    with (home / "calls").open("a") as calls:
        print(json.dumps([sys.argv[1:], *variables]), file=calls)
    if (home / "broken").exists():
        sys.exit("the compiler refuses")
    if (home / "nothing").exists():
        sys.exit()
    wheel = pathlib.Path(sys.argv[sys.argv.index("--wheel-dir") + 1]) / "{WHEEL}"
    wheel.write_text("no CUDA" if (home / "no-cuda").exists() else " ".join(variables))
    sys.exit()
wheel = next(pathlib.Path(item) for item in sys.argv if item.endswith(".whl"))
for old in home.glob("llama_cpp*"):
    shutil.rmtree(old)
package = home / "llama_cpp"
(package / "lib").mkdir(parents=True)
(package / "__init__.py").write_text("def llama_supports_gpu_offload(): return CUDA")
if "-DGGML_CUDA=on" in wheel.read_text():
    (package / "lib" / "libggml-cuda.so").touch()
info = home / "llama_cpp_python-{PINNED}.dist-info"
info.mkdir()
(info / "METADATA").write_text("Name: llama-cpp-python\\nVersion: {PINNED}\\n")
"""


@dataclass
class Done:
    code: int
    text: str


@dataclass
class Host:
    """A machine with programs of our own as driver, compiler and pip."""

    folder: Path

    @property
    def record(self) -> Path:
        return self.folder / "llama-cuda.json"

    def program(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def cards(self, *capabilities: str) -> None:
        self.program(
            "nvidia-smi", f"printf '{''.join(item + chr(92) + 'n' for item in capabilities)}'"
        )

    def nvcc(self, release: str, *known: str) -> None:
        self.program("nvcc", NVCC.format(release=release, known="\\ncompute_".join(known)))

    def build(self, *options: str, **variables: str) -> Done:
        return self.run(
            "infra.apps.llama_build", "--record", str(self.record), *options, **variables
        )

    def run(self, module: str, *options: str, **variables: str) -> Done:
        env = {"PATH": str(self.folder / "bin"), "PYTHONPATH": str(self.folder)} | variables
        env |= {"PIP_NO_INDEX": "1", "SET_UP_LOG": str(self.folder / "log")}
        env |= {"XDG_CACHE_HOME": str(self.folder / "cache")}
        done = subprocess.run(
            # -S: as in a new environment, no package is there but those of `folder`.
            [sys.executable, "-S", "-m", module, *options],
            env=env,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr
        return Done(done.returncode, done.stdout + done.stderr)

    def install(self, **variables: str) -> int:
        """In the place of what is installed, the build for the CPU. Returns all compilations."""
        for installed in self.folder.glob("llama_cpp*"):
            shutil.rmtree(installed)
        done = self.run("infra.apps.llama_wheel", **variables)
        assert done.code == 0, done.text
        assert (self.folder / "llama_cpp").exists()
        return len(self.calls)

    @property
    def calls(self) -> list[tuple[list[str], str, str]]:
        """Arguments of pip, CMAKE_ARGS and CUDACXX of each compilation."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with an RTX 5090 and a compiler that knows it."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()  # without it the real pip would come first
    (tmp_path / "pip" / "__main__.py").write_text(PIP)
    made = Host(tmp_path)
    made.cards("12.0")
    made.nvcc("12.8", "75", "89", "90", "120")
    return made


def test_a_dry_run_says_what_would_be_built_and_builds_nothing(host: Host) -> None:
    done = host.build("--dry-run", CMAKE_ARGS="-DGGML_NATIVE=off")
    assert done.code == 0
    wanted = "CMAKE_ARGS=-DGGML_NATIVE=off -DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=120\n"
    assert wanted in done.text
    assert f"llama-cpp-python=={PINNED}" in done.text
    assert "compute capability 12.0" in done.text
    assert (host.calls, host.record.exists()) == ([], False)


def test_the_build_is_of_the_pinned_version_from_its_source_and_for_every_card(host: Host) -> None:
    host.cards("12.0", "8.9", "12.0")
    assert host.build().code == 0
    ((arguments, cmake, compiler),) = host.calls
    assert arguments[-1] == f"llama-cpp-python=={PINNED}"
    assert {"wheel", "--no-deps", "--no-cache-dir", "--no-binary"} <= set(arguments)
    assert cmake == "-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=89;120"
    assert compiler == str(host.folder / "bin" / "nvcc")


def test_a_second_time_nothing_is_built(host: Host) -> None:
    host.build()
    again = host.build()
    assert (again.code, len(host.calls)) == (0, 1)
    assert "is built with CUDA for 120" in again.text


def test_it_is_built_again_for_another_card_or_compiler(host: Host) -> None:
    host.build()
    host.cards("9.0")
    host.build()
    host.nvcc("13.0", "90")
    host.build()
    assert [cmake[-3:] for _, cmake, _ in host.calls] == ["120", "=90", "=90"]


def test_the_kept_wheel_takes_the_place_of_a_build_for_the_cpu(host: Host) -> None:
    host.build()
    library = host.folder / "llama_cpp" / "lib" / "libggml-cuda.so"
    library.unlink()
    assert host.build().code == 0
    assert library.exists()
    assert len(host.calls) == 1


def test_another_environment_installs_the_kept_wheel(host: Host) -> None:
    host.build()
    shutil.rmtree(host.folder / "llama_cpp")
    host.record.unlink()
    assert host.build().code == 0
    assert (len(host.calls), host.record.exists()) == (1, True)


def test_the_build_for_the_cpu_is_compiled_once_for_its_options(host: Host) -> None:
    assert [host.install(), host.install()] == [1, 1]
    assert host.install(CMAKE_ARGS="-DGGML_NATIVE=off") == 2
    assert host.install(CC="clang") == 3
    assert host.install() == 3
    assert not list((host.folder / "cache" / "reelwright" / "wheels").glob("building-*"))


def test_a_wheel_for_another_interpreter_is_not_installed_and_one_for_any_is(host: Host) -> None:
    assert host.install() == 1
    (kept,) = host.folder.glob(f"cache/reelwright/wheels/*/{WHEEL}")
    other = kept.with_name(WHEEL.replace("py3-none", "cp39-cp39"))
    kept.rename(other)
    assert [host.install(), host.install()] == [2, 2]
    assert sorted(kept.parent.iterdir()) == sorted([kept, other])


def test_the_folder_of_a_wheel_does_not_depend_on_the_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = kept_in(PINNED, {})
    monkeypatch.setattr(sys, "implementation", SimpleNamespace(name="cpython", cache_tag="cp39"))
    monkeypatch.setattr(sys, "version_info", (3, 9, 0, "final", 0))
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.0")
    monkeypatch.setattr(sysconfig, "get_python_version", lambda: "3.9")
    assert kept_in(PINNED, {}) == here != kept_in("0.3.35", {})


def test_a_pip_that_leaves_no_wheel_is_told(host: Host) -> None:
    (host.folder / "nothing").touch()
    done = host.run("infra.apps.llama_wheel")
    assert done.code == 1
    assert f"left no wheel of llama-cpp-python {PINNED}" in done.text
    assert "set-up.log says why" in done.text


def test_what_is_installed_in_the_pinned_version_stays(host: Host) -> None:
    host.build()
    assert host.run("infra.apps.llama_wheel") == Done(0, "")
    assert (host.folder / "llama_cpp" / "lib" / "libggml-cuda.so").exists()


def test_a_folder_that_cannot_be_written_is_named(host: Host) -> None:
    (host.folder / "cache").touch()
    done = host.run("infra.apps.llama_wheel")
    assert done.code == 1
    assert f"{host.folder}/cache/reelwright/wheels cannot be written" in done.text
    assert "set XDG_CACHE_HOME" in done.text


@pytest.mark.parametrize(
    ("damage", "sentence"), [("broken", "code 1"), ("no-cuda", "without lib/libggml-cuda.so")]
)
def test_a_build_that_failed_is_not_recorded(host: Host, damage: str, sentence: str) -> None:
    host.build()
    host.cards("8.9")
    (host.folder / damage).touch()
    failed = host.build()
    assert failed.code == 1
    assert sentence in failed.text
    assert not host.record.exists()
    (host.folder / damage).unlink()
    assert (host.build().code, host.record.exists()) == (0, True)


def test_without_a_card_nothing_is_built(host: Host) -> None:
    (host.folder / "bin" / "nvidia-smi").unlink()
    none = host.build()
    assert none.code == 1
    assert "no NVIDIA driver is here" in none.text
    assert "make demo" in none.text
    host.program("nvidia-smi", "echo 'No devices were found'")
    assert "names no NVIDIA card" in host.build().text
    host.program("nvidia-smi", "echo 'could not communicate with the driver'; exit 9")
    assert "repair the driver" in host.build().text
    assert host.calls == []


def test_without_a_compiler_for_the_card_nothing_is_built(host: Host) -> None:
    host.nvcc("12.4", "75", "89")
    old = host.build()
    assert old.code == 1
    assert "CUDA 12.4 does not know compute capability 12.0" in old.text
    missing = host.build(CUDACXX="/nowhere/nvcc")
    assert missing.code == 1
    assert "/nowhere/nvcc is not there" in missing.text
    assert "install the CUDA toolkit" in missing.text
    assert host.calls == []


def test_a_compiler_beside_path_is_found_by_cuda_home(host: Host) -> None:
    home = host.folder / "cuda"
    (home / "bin").mkdir(parents=True)
    (host.folder / "bin" / "nvcc").rename(home / "bin" / "nvcc")
    assert host.build(CUDA_HOME=str(home)).code == 0
    assert host.calls[0][2] == str(home / "bin" / "nvcc")


def test_an_old_driver_leaves_the_card_to_cmake(host: Host) -> None:
    host.program(
        "nvidia-smi", "echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2"
    )
    assert host.build().code == 0
    assert host.calls[0][1].endswith("ARCHITECTURES=native")


@pytest.mark.parametrize(("finds", "code"), [("True", 0), ("False", 1)])
def test_the_check_asks_the_library_for_a_gpu(host: Host, finds: str, code: int) -> None:
    host.build()
    (host.folder / "llama_cpp" / "__init__.py").write_text(
        f"def llama_supports_gpu_offload(): return {finds}"
    )
    done = host.build("--check")
    assert done.code == code
    assert ("finds no GPU" in done.text) == bool(code)


def test_a_library_that_does_not_load_fails_the_check_with_its_own_words(host: Host) -> None:
    host.build()
    (host.folder / "llama_cpp" / "__init__.py").write_text("raise OSError('libcudart.so.13: no')")
    done = host.build("--check")
    assert done.code == 1
    assert "libcudart.so.13: no" in done.text


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose .venv notes what it is asked to do."""
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    bin_ = tmp_path / ".venv" / "bin"
    bin_.mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    for name in ("python", "reelwright"):
        (bin_ / name).write_text(f'#!/bin/sh\necho "{name} $*" >> log\n')
        (bin_ / name).chmod(0o755)
    return tmp_path


def make(checkout: Path, target: str) -> list[str]:
    """What `make` asked the .venv to do, shortened to what matters here."""
    log = checkout / "log"
    log.unlink(missing_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    subprocess.run(["make", target], cwd=checkout, env=env, check=True, capture_output=True)
    lines = log.read_text().splitlines()
    return [
        "pip" if " infra.apps.set_up " in line else line.removeprefix("python -m infra.apps.")
        for line in lines
    ]


def test_make_studio_builds_before_pip_could_and_then_runs_doctor(checkout: Path) -> None:
    (checkout / ".venv" / "llama-cuda.json").touch()  # what the first line would have written
    built = ["llama_build", "llama_build --check", "reelwright doctor"]
    assert make(checkout, "studio") == ["llama_build", "llama_build", "pip", *built[1:]]
    assert make(checkout, "studio") == built


def test_make_demo_after_make_studio_never_puts_the_cpus_build_in_its_place(checkout: Path) -> None:
    assert make(checkout, "demo")[:2] == ["llama_wheel", "pip"]
    (checkout / ".venv" / "llama-cuda.json").touch()
    assert "pip" not in make(checkout, "demo")
    os.utime(checkout / "constraints.txt", (2**32, 2**32))
    assert make(checkout, "demo")[:2] == ["llama_build", "pip"]
