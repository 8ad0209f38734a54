"""The command as its user meets it: bad input, broken surroundings, odd briefs, the answer."""

import hashlib
import json
import re
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra.adapters import disk
from infra.adapters.object_store import ObjectStore
from pipelines.documents.manifest import Manifest
from tests.conftest import Cli, slow
from tests.infra.test_weights import damage
from tests.support.pictures import decode, timestamps
from tests.support.ports import free_ports

QUICK = ("--seconds", "1", "--frames", "17", "--steps", "1")

BAD: dict[str, tuple[list[str | bytes], str, str]] = {
    "empty prompt": ([""], "empty", "say in a sentence"),
    "blank prompt": (["  \n "], "empty", "say in a sentence"),
    "100 kB prompt": (["a" * 100_000], "100,000", "shorten"),
    "control characters": (["a\x1b[31mfox"], "U+001B", "remove it"),
    "lone surrogate": ([b"a fox \xed\xa0\x80"], "half a character", "remove it"),
    "unknown preset": (["fox", "--preset", "8k"], "'8k'", "demo, image_fast"),
    "32 frames": (["fox", "--frames", "32"], "32 frames", "29 or 33"),
    "0 frames": (["fox", "--frames", "0"], "0 frames", "from 1 to 77: choose 1"),
    "81 frames": (["fox", "--frames", "81"], "81 frames", "from 1 to 77: choose 77"),
    "unknown language": (["fox", "--language", "tlh"], "'tlh'", "as-written"),
    "odd size": (["fox", "--size", "1000*500"], "'1000*500'", "832*480"),
    "seconds 0": (["fox", "--seconds", "0"], "seconds 0", "0.25 to 600"),
    "seconds -1": (["fox", "--seconds", "-1"], "seconds -1", "0.25 to 600"),
    "seconds nan": (["fox", "--seconds", "nan"], "seconds nan", "0.25 to 600"),
    "seconds 1e9": (["fox", "--seconds", "1e9"], "seconds 1e+09", "0.25 to 600"),
    "seconds as words": (["fox", "--seconds", "two"], "--seconds", "--help"),
    "seed below -1": (["fox", "--seed", "-2"], "seed -2", "-1 to derive"),
    "unknown option": (["fox", "--colour", "red"], "--colour", "--help"),
    "no prompt": ([], "prompt", "--help"),
    "shot seed": (["fox", "--shot-seed", "x"], "'x'", "write SHOT=SEED"),
    "shot seed no number": (["fox", "--shot-seed", "1=x"], "'x'", "valid integer"),
    "shot that is not there": (["fox", "--shot-seed", "9=1"], "shot 9", "more seconds"),
    "out is a directory": (["fox", "--out", "/"], "--out /", "name a file"),
    "out in no directory": (["fox", "--out", "/nowhere/x.mp4"], "/nowhere", "make it first"),
    "out takes the poster's name": (["fox", "--out", "x.jpg"], "x.jpg", ".mp4"),
}


@pytest.mark.parametrize(("args", "value", "remedy"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_before_anything_happens(
    embedded_cli: Cli, args: list[str], value: str, remedy: str
) -> None:
    result = embedded_cli("make", *args)
    assert result.code == 2
    assert value in result.err
    assert remedy in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert "Traceback" not in result.err
    assert result.out == ""
    assert not embedded_cli.data.exists()


@pytest.mark.parametrize(
    ("args", "remedy"),
    [
        (["models", "download", "x"], "`reelwright models list` shows them"),
        (["models", "verify", "x"], "`reelwright models list` shows them"),
        (["models", "download", "t2v-a14b"], "did you mean t2v-A14B?"),
        (["models", "verify", "studios"], "did you mean studio?"),
    ],
    ids=["download", "verify", "model", "set"],
)
def test_an_unknown_model_or_set_is_bad_input(bare_cli: Cli, args: list[str], remedy: str) -> None:
    result = bare_cli(*args)
    assert result.code == 2
    assert f"'{args[-1]}'" in result.err
    assert remedy in result.err


def test_words_that_nobody_can_translate_are_refused_with_what_to_do(embedded_cli: Cli) -> None:
    result = embedded_cli("make", "สุนัขจิ้งจอก", *QUICK)
    assert result.code == 2
    error = result.err
    assert "Thai" in error
    assert "set the language to 'as-written'" in error
    assert "models download translator-th" in error


@pytest.mark.slow
@pytest.mark.parametrize("text", ["สุนัขจิ้งจอก 🦊 '; rm -rf \n </s>"])
def test_odd_characters_pass_through_the_command_line(cli: Cli, text: str) -> None:
    result = cli("make", text, *QUICK, "--language", "as-written", "--json")
    assert result.code == 0, result.err
    assert Manifest.model_validate_json(result.out).brief.prompt == " ".join(text.split())


def test_json_is_the_manifest_and_nothing_else(
    cli: Cli, store: ObjectStore, tmp_path: Path
) -> None:
    out = tmp_path / "fox.mp4"
    args = ("--seconds", "6", "--upscale", "4", "--steps", "2", "--no-enhance", "--json")
    result = cli("make", "a red fox", *args, "--out", str(out))
    manifest = Manifest.model_validate_json(result.out)
    assert result.code == 0
    frames = decode(out)
    assert len(frames) == 96 == manifest.plan.frames
    assert frames[0].shape == (384, 384, 3)
    assert timestamps(out) == [index / 16 for index in range(96)]
    assert hashlib.sha256(out.read_bytes()).hexdigest() == manifest.objects[0].sha256
    assert hashlib.sha256(out.with_suffix(".jpg").read_bytes()).hexdigest() == (
        manifest.objects[1].sha256
    )
    assert json.loads(out.with_suffix(".json").read_text()) == json.loads(result.out)
    for item in manifest.objects:
        store.get_file(item, tmp_path / "object")  # raises on another sha256


@pytest.mark.slow
def test_a_person_is_told_where_everything_lies(cli: Cli) -> None:
    result = cli("make", "a red fox", *QUICK)
    assert "video     s3://" in result.out
    assert "poster.jpg" in result.out
    assert "manifest.json" in result.out
    assert "1 chunks made, 0 reused" in result.out
    assert result.err == ""  # no terminal, no bars
    again = cli("make", "a red fox", *QUICK)
    assert "0 chunks made, 1 reused" in again.out


def test_without_servers_the_command_brings_its_own(embedded_cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "fox.mp4"
    first = embedded_cli("make", "a red fox", *QUICK, "--out", str(out))
    assert first.code == 0, first.err
    assert len(decode(out)) == 16
    again = embedded_cli("make", "a red fox", *QUICK, "--out", str(out))
    assert "0 chunks made, 1 reused" in again.out
    assert (embedded_cli.data / "store" / "credentials").stat().st_mode & 0o777 == 0o600


def test_the_command_uses_the_servers_of_the_studio_that_runs(
    cli: Cli, prefect_server: dict[str, str]
) -> None:
    """They stand in a file; the environment of the command names none."""
    servers = {
        name: cli.env.pop(name)
        for name in list(cli.env)
        if name.startswith(("PREFECT_", "REELWRIGHT_S3_"))
    }
    folder = cli.data / "studio"
    folder.mkdir(parents=True)
    (folder / "studio.env").write_text("".join(f"{n}={v}\n" for n, v in servers.items()))
    prompt = f"a red ball {secrets.token_hex(4)}"
    with disk.exclusive(folder / "lock", lambda: None):  # as a studio holds it while it runs
        result = cli("make", prompt, *QUICK, "--no-enhance", "--campaign", "spring", "--json")
    assert result.code == 0, result.err
    assert Manifest.model_validate_json(result.out).brief.campaign == "spring"
    assert not (cli.data / "store").exists()
    with (
        temporary_settings({PREFECT_API_URL: prefect_server["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        done = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED]))
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=done), sort=FlowRunSort.END_TIME_DESC
        )
    assert prompt in str([run.parameters for run in runs])


def refusal(result: object) -> str:
    """The one line that a refused command says."""
    assert result.code == 1  # type: ignore[attr-defined]
    error = str(result.err)  # type: ignore[attr-defined]
    assert len(error.strip().splitlines()) == 1, error
    assert "Traceback" not in error
    return error


def test_an_object_store_that_is_down_is_named(cli: Cli) -> None:
    (port,) = free_ports(1)
    result = cli("make", "fox", *QUICK, REELWRIGHT_S3_ENDPOINT=f"127.0.0.1:{port}")
    error = refusal(result)
    assert f"127.0.0.1:{port}" in error
    assert "cannot be reached" in error
    assert "run again" in error


def test_wrong_keys_are_named(cli: Cli) -> None:
    result = cli("make", "fox", *QUICK, REELWRIGHT_S3_SECRET_KEY="wrong")
    error = refusal(result)
    assert "refuses our keys" in error
    assert "REELWRIGHT_S3_SECRET_KEY" in error


def test_a_missing_ffmpeg_is_named(cli: Cli) -> None:
    error = refusal(cli("make", "fox", *QUICK, REELWRIGHT_FFMPEG="/nowhere/ffmpeg"))
    assert "/nowhere/ffmpeg" in error


def test_missing_models_are_named_with_the_command_that_brings_them(bare_cli: Cli) -> None:
    remedy = "reelwright models download tiny-wan gemma-3-270m"
    error = refusal(bare_cli("make", "fox", *QUICK))
    assert "tiny-wan" in error
    assert remedy in error
    assert not bare_cli.data.exists()


@pytest.mark.parametrize("kind", ["missing", "truncated", "bit-flipped"])
@pytest.mark.parametrize("name", ["tiny-wan", "realesr-animevideov3"])
def test_damaged_weights_stop_the_run_before_it_starts(
    bare_cli: Cli, models: Path, kind: str, name: str
) -> None:
    file = {
        "tiny-wan": "transformer/diffusion_pytorch_model.safetensors",
        "realesr-animevideov3": "realesr-animevideov3.safetensors",
    }[name]
    damage(models / name / file, kind)
    args = ("make", "fox", *QUICK, "--upscale", "2")  # a model that is not used is not looked at
    result = bare_cli(*args, REELWRIGHT_MODELS_DIR=str(models))
    error = refusal(result)
    assert file in error
    assert f"reelwright models download {name}" in error
    verify = bare_cli("models", "verify", "demo", REELWRIGHT_MODELS_DIR=str(models))
    assert (verify.code, file in verify.err) == (1, True)


def test_a_data_directory_that_cannot_be_one_is_named(embedded_cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = embedded_cli("make", "fox", *QUICK, REELWRIGHT_DATA_DIR=str(file / "data"))
    error = refusal(result)
    assert str(file) in error
    assert "REELWRIGHT_DATA_DIR" in error


def test_a_setting_that_makes_no_sense_is_named(cli: Cli) -> None:
    result = cli("make", "fox", *QUICK, REELWRIGHT_DEVICE="tpu")
    error = refusal(result)
    assert "REELWRIGHT_DEVICE=tpu" in error
    assert "auto" in error


def can_mount() -> bool:
    probe = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return shutil.which("unshare") is not None and not subprocess.run(probe).returncode


@pytest.mark.parametrize(("megabytes", "seconds"), [slow(1, 4), slow(3, 4), slow(24, 60)])
@pytest.mark.skipif(not can_mount(), reason="no right to mount a small disk here")
def test_a_full_disk_is_named(
    started_cli: Cli, tmp_path: Path, megabytes: int, seconds: int
) -> None:
    """A real disk of few megabytes: full at the start, full on the way, too small for the brief."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size={megabytes}m none {disk} && shift && exec "$@"'
    argv = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", "--"]
    brief = ("make", "fox", "--seconds", str(seconds), "--steps", "1", "--no-enhance")
    if seconds > 4:
        brief += ("--size", "128*128")
    done = subprocess.run(
        argv + started_cli.argv(*brief),
        env=started_cli.env | {"REELWRIGHT_DATA_DIR": str(disk)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "free" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_finds_the_demo_set_and_what_is_missing(embedded_cli: Cli) -> None:
    good = embedded_cli("doctor")
    assert (good.code, "ok   models demo" in good.out) == (0, True)
    bad = embedded_cli("doctor", REELWRIGHT_FFMPEG="/nowhere")
    assert bad.code == 1
    assert "FAIL ffmpeg" in bad.out


def test_models_list_says_what_is_installed(embedded_cli: Cli) -> None:
    listed = embedded_cli("models", "list").out.splitlines()
    gemma = next(line for line in listed if line.startswith("gemma-3-270m "))
    assert re.search(r"253 MB +installed +Gemma 3 270M", gemma)
    wan = next(line for line in listed if line.startswith("t2v-1.3B "))
    assert re.search(r"28.9 GB +missing +Wan2.1-T2V-1.3B \(Apache-2.0\)", wan)


def test_a_download_without_network_is_a_sentence(bare_cli: Cli) -> None:
    (port,) = free_ports(1)
    result = bare_cli(
        "models",
        "download",
        "translator-th",  # small: the room on the disk is looked at first
        HF_ENDPOINT=f"http://127.0.0.1:{port}",
        HF_HUB_DISABLE_XET="1",
    )
    assert result.code == 1
    assert "cannot be fetched from the hub" in result.err
    assert "Traceback" not in result.err


def test_verify_counts_intact_files(embedded_cli: Cli) -> None:
    result = embedded_cli("models", "verify", "demo")
    assert (result.code, "files are what they were" in result.out) == (0, True)
