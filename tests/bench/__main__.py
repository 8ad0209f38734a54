"""`make bench`: one JSON of ratios, every pair measured in this run on this machine.

(a) our upscaler against the realesrgan package, frame by frame
(b) the whole flow against a plain sequential script doing the same work
(c) peak memory at 30 chunks over 3 chunks
(d) from a run's trigger to its first denoising step: our worker against the stock one
(e) only when asked for, as `queue`: many briefs at once
(f) only when asked for, as `gateway`: /health beside many clients that ask for states
(g) only when asked for, as `gallery`: its pages with 20,000 videos, and the gateway's memory
(h) only when asked for, as `overlap`: a film whose chunks are stored beside the device or after it
(i) only when asked for, as `wan`: a clip by stock diffusers' pipeline and by ours
(j) only when asked for, as `forecast`: ten films, and how long each was expected to take

(b) and (c) run in processes of their own; servers, downloads of weights and Prefect's start
are outside what is compared, Prefect's start is shown apart.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from infra.adapters.weights.library import installed_model

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "build" / "test-models"
UPSCALER = "realesr-animevideov3"
SIZE = "416*240"
ROUNDS = 4
_ON_DEMAND = ("queue", "gateway", "gallery", "overlap", "wan", "forecast")


def main() -> None:
    """Measure everything and print one JSON on standard output."""
    from infra.apps.install import install

    MODELS.mkdir(parents=True, exist_ok=True)
    install(MODELS, "demo", lambda _: None)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "upscaler": bench_upscaler,
        "flow": bench_flow,
        "memory": bench_memory,
        "start": lambda: importlib.import_module("tests.bench.start").bench_start(),
        "queue": lambda: importlib.import_module("tests.bench.queue").bench_queue(),
        "gateway": lambda: importlib.import_module("tests.bench.gateway").bench_gateway(),
        "gallery": lambda: importlib.import_module("tests.bench.gallery").bench_gallery(),
        "wan": lambda: importlib.import_module("tests.bench.wan").bench_wan(),
        "overlap": bench_overlap,
        "forecast": bench_forecast,
    }
    wanted = sys.argv[1:] or [name for name in parts if name not in _ON_DEMAND]
    results: dict[str, Any] = {"cpu_cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    for name in wanted:
        results[name] = parts[name]()
        print(f"{name}: {json.dumps(results[name])}", file=sys.stderr, flush=True)
    print(json.dumps(results, indent=1))


def weights() -> Path:
    """The upscaler's file; the demo set must be installed."""
    return installed_model(MODELS, UPSCALER).path


def bench_upscaler() -> dict[str, Any]:
    """Frames per CPU-second on one thread, the variants interleaved, the best of ROUNDS each."""
    import torch
    from safetensors.torch import load_file

    from pipelines.schema.sizes import Size
    from pipelines.upscaling.network import RealEsrgan, UpscaleOptions
    from tests.pipelines.test_upscaling import reference
    from tests.support.pictures import moving_frames

    torch.set_num_threads(1)
    frames = list(moving_frames(Size(208, 120), 3))
    with tempfile.TemporaryDirectory() as folder:
        peer = reference(load_file(weights()), compact=True, tmp_path=Path(folder))
    cpu = torch.device("cpu")
    ours = RealEsrgan(weights(), cpu, UpscaleOptions())
    fast = RealEsrgan(weights(), cpu, UpscaleOptions(dtype=torch.bfloat16))
    variants: dict[str, Callable[[], list[Any]]] = {
        "realesrgan": lambda: [
            peer.enhance(frame[..., ::-1], outscale=4)[0][..., ::-1] for frame in frames
        ],
        "ours": lambda: list(ours.upscale(frames, 4)),
        "ours_bfloat16": lambda: list(fast.upscale(frames, 4)),
    }
    best = dict.fromkeys(variants, float("inf"))
    output: dict[str, list[Any]] = {}
    for _ in range(ROUNDS):
        for name, work in variants.items():
            start = time.thread_time()
            output[name] = work()
            best[name] = min(best[name], time.thread_time() - start)
    rate = {name: len(frames) / seconds for name, seconds in best.items()}
    return {
        "frames_per_cpu_second": {name: round(value, 2) for name, value in rate.items()},
        "ours_over_realesrgan": round(rate["ours"] / rate["realesrgan"], 2),
        "bfloat16_over_realesrgan": round(rate["ours_bfloat16"] / rate["realesrgan"], 2),
        "max_8bit_difference": _difference(output["ours"], output["realesrgan"]),
        "max_8bit_difference_bfloat16": _difference(output["ours_bfloat16"], output["realesrgan"]),
    }


def _difference(ours: list[Any], theirs: list[Any]) -> int:
    """Largest 8-bit difference inside a border of 20 source pixels."""
    border = slice(80, -80)
    return max(
        int(np.abs(a[border, border].astype(int) - b[border, border].astype(int)).max())
        for a, b in zip(ours, theirs, strict=True)
    )


def bench_flow() -> dict[str, Any]:
    """4 chunks at 416*240, 2 steps, x4: the script, then our flow, each in a fresh process."""
    with _servers() as (env, prefect_start):
        plain = _child("script", env)
        ours = _child("flow", env | {"BENCH_CHUNKS": "4"})
    return {
        "flow": ours,
        "sequential_script": plain,
        "prefect_server_start_seconds": round(prefect_start, 1),
        "wall_flow_over_script": round(ours["wall_seconds"] / plain["wall_seconds"], 2),
        "memory_flow_over_script": round(
            ours["peak_mb_above_models"] / plain["peak_mb_above_models"], 2
        ),
    }


def bench_memory() -> dict[str, Any]:
    """Peak resident memory of the flow at 3 and at 30 chunks, without upscaling."""
    with _servers() as (env, _):
        peaks = {
            chunks: _child(
                "flow",
                env
                | {"BENCH_CHUNKS": str(chunks), "BENCH_UPSCALE": "1", "BENCH_SEED": str(chunks)},
            )["peak_mb"]
            for chunks in (3, 30)
        }
    return {"peak_mb": peaks, "peak_30_over_3": round(peaks[30] / peaks[3], 3)}


def bench_overlap() -> dict[str, Any]:
    """6 chunks, on a device that sleeps and on this processor; both ways in turn, twice."""
    results: dict[str, Any] = {}
    with _servers() as (env, _):
        for device in ("asleep", "demo"):
            runs: dict[str, list[Any]] = {"after": [], "beside": []}
            for number in range(4):
                name = ("after", "beside", "beside", "after")[number]
                given = {"BENCH_DEVICE": device, "BENCH_SEED": str(number)}
                beside = {"BENCH_BESIDE": str(int(name == "beside"))}
                runs[name].append(_child("overlap", env | given | beside))
            wall = {name: min(run["wall_seconds"] for run in found) for name, found in runs.items()}
            ratio = round(wall["beside"] / wall["after"], 2)
            results[device] = runs | {"wall_beside_over_after": ratio}
    return results


def bench_forecast() -> dict[str, Any]:
    """Ten films after one another: the forecast of each, and the time that it took."""
    from tests.bench.forecast import summary

    with _servers() as (env, _):
        return summary(_child("forecast", env)["films"])


def _child(what: str, env: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{what}"],
        env=env,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@contextmanager
def _servers() -> Iterator[tuple[dict[str, str], float]]:
    from infra.adapters.prefect_server import PrefectServer
    from infra.adapters.seaweed import SeaweedServer

    with tempfile.TemporaryDirectory() as folder:
        seaweed = SeaweedServer(Path(folder) / "store")
        seaweed.wait()
        first = PrefectServer(Path(folder) / "prefect")
        first.wait()  # makes the database
        first.stop()
        start = time.perf_counter()
        prefect = PrefectServer(Path(folder) / "prefect")
        prefect.wait()
        elapsed = time.perf_counter() - start
        try:
            yield (
                os.environ
                | prefect.client_env
                | {
                    "REELWRIGHT_S3_ENDPOINT": seaweed.endpoint,
                    "REELWRIGHT_S3_ACCESS_KEY": seaweed.credentials.access_key,
                    "REELWRIGHT_S3_SECRET_KEY": seaweed.credentials.secret_key,
                    "REELWRIGHT_DATA_DIR": str(Path(folder) / "data"),
                    "REELWRIGHT_MODELS_DIR": str(MODELS),
                    "REELWRIGHT_DEVICE": "cpu",
                    "PREFECT_LOGGING_LEVEL": "ERROR",
                },
                elapsed,
            )
        finally:
            prefect.stop()
            seaweed.stop()


if __name__ == "__main__":
    main()
