"""A real Prometheus that scrapes a gateway, where this machine has one."""

import math
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from infra.adapters.embedded import is_healthy
from tests.support.ports import free_ports
from tests.support.studio import wait_for

BINARY = shutil.which("prometheus")


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def values(self, query: str) -> list[float]:
        """What a query returns now: a number for each series."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=60)
        answer.raise_for_status()
        return [float(item["value"][1]) for item in answer.json()["data"]["result"]]

    def has_data(self, query: str) -> bool:
        """Whether it returns a number, and not only series without any."""
        return any(not math.isnan(value) for value in self.values(query))


@contextmanager
def prometheus(folder: Path, target: str, key: str, binary: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `target` (host:port) every second with the gateway's `key`."""
    (port,) = free_ports(1)
    (folder / "key").write_text(key)
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "scrape_configs:\n"
        "- job_name: reelwright\n"
        f"  authorization: {{credentials_file: {folder / 'key'}}}\n"
        f"  static_configs: [{{targets: ['{target}']}}]\n"
    )
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for("Prometheus", lambda: is_healthy(f"{url}/-/ready"))
        yield Prometheus(url)
    finally:
        process.terminate()
        process.wait(60)
