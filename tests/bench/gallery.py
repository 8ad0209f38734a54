"""`python -m tests.bench gallery`: the gallery and /videos with very many videos in the bucket.

VIDEOS in the environment says how many. Every one of them has a real manifest in the bucket of
an embedded store, and nothing else: what a list needs is in the manifests. The gateway fills its
index from them at its start, as it does after an upgrade.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

from infra.adapters.object_store import ObjectStore
from infra.adapters.prefect_server import PrefectServer
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import StoreSettings
from tests.conftest import operator_of
from tests.support.films import numbered, published, write
from tests.support.gateway import gateway

VIDEOS = int(os.environ.get("VIDEOS", "20000"))
VIEWS = 200
TARGET_MS = 300
TARGETS = ("gallery", "search", "videos_50")


def bench_gallery() -> dict[str, Any]:
    """Milliseconds of a page, seconds of the first filling, and the gateway's memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seaweed = SeaweedServer(folder / "store")
        prefect = PrefectServer(folder / "prefect")
        try:
            seaweed.wait()
            prefect.wait()
            keys = seaweed.credentials
            variables = {
                "REELWRIGHT_S3_ENDPOINT": seaweed.endpoint,
                "REELWRIGHT_S3_ACCESS_KEY": keys.access_key,
                "REELWRIGHT_S3_SECRET_KEY": keys.secret_key,
            }
            filled = fill(
                StoreSettings(
                    endpoint=seaweed.endpoint,
                    access_key=keys.access_key,
                    secret_key=keys.secret_key,  # type: ignore[arg-type]
                )
            )
            cli = operator_of(folder / "data", folder / "models")
            cli.env |= variables | prefect.client_env
            began = time.monotonic()
            with gateway(cli, folder / "data") as found, found.client() as client:
                while "is being read" in client.get("/").text:
                    time.sleep(1)
                seconds = time.monotonic() - began
                return (
                    filled
                    | {"index_filled_s": round(seconds, 1)}
                    | measure(client, psutil.Process(found.process.pid))
                )
        finally:
            prefect.stop()
            seaweed.stop()


def fill(settings: StoreSettings) -> dict[str, Any]:
    """VIDEOS manifests into the bucket, each 20th of one of ten campaigns."""
    store = ObjectStore(settings)
    store.ensure_bucket()
    model = published(store, "a red ball moves to the right over a dark blue background")

    def put(number: int) -> None:
        campaigns = (f"campaign {number % 200}",) if number % 200 < 10 else ()
        write(store, numbered(model, number, campaigns))

    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        for done, _ in enumerate(pool.map(put, range(VIDEOS)), start=1):
            if done % 5000 == 0:
                print(f"{done} manifests", file=sys.stderr, flush=True)
    return {
        "manifests_in_bucket": VIDEOS,
        "bytes_of_one": len(model.model_dump_json(indent=1)),
        "put_s": round(time.monotonic() - began, 1),
    }


def measure(client: httpx.Client, process: psutil.Process) -> dict[str, Any]:
    """The first page, one in the middle of the list, one campaign; then memory over views."""
    middle = "/videos?limit=200"
    for _ in range(min(50, VIDEOS // 400)):
        middle = client.get(middle).links["next"]["url"]
    paths = {
        "gallery": "/",
        "search": "/?text=no+video+has+these+words",
        "videos_50": "/videos?limit=50",
        "videos_middle": middle.replace("limit=200", "limit=50"),
        "campaign": "/videos?limit=50&campaign=campaign+3",
    }
    times = {name: timed(lambda path=path: client.get(path)) for name, path in paths.items()}
    memory = []
    for _ in range(VIEWS):
        client.get("/").raise_for_status()
        memory.append(process.memory_info().rss / 1e6)
    third = VIEWS // 3
    thirds = [statistics.mean(memory[n * third : (n + 1) * third]) for n in range(3)]
    return {
        "ms": times,
        "target_ms": TARGET_MS,
        "target_is_met": all(
            times[name]["p95"] < TARGET_MS for name in ("gallery", "search", "videos_50")
        ),
        "gateway_rss_mb_by_thirds_of_200_views": [round(value, 1) for value in thirds],
        "load": os.getloadavg()[0],
    }


def timed(ask: Callable[[], httpx.Response], times: int = 60) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        ask().raise_for_status()
        found.append(1000 * (time.perf_counter() - began))
    return {
        "median": round(statistics.median(found), 1),
        "p95": round(statistics.quantiles(found, n=20)[-1], 1),
    }
