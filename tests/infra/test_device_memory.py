"""How much memory the device is said to have."""

import os
from pathlib import Path

import pytest

from infra.adapters.device import cache


def test_a_host_s_page_cache_counts_as_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    7000 kB\nCached: 1 kB\n")
    monkeypatch.setattr(cache, "_MEMORY", file)
    assert cache.free_bytes("cpu") == 7000 * 1024


@pytest.mark.parametrize(
    "text", [None, "", "MemFree: 100 kB\n", "MemAvailable:\n", "MemAvailable: x"]
)
def test_without_the_kernel_s_estimate_unused_pages_count(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "meminfo"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(cache, "_MEMORY", file)
    pages = {"SC_AVPHYS_PAGES": 3, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert cache.free_bytes("cpu") == 3 * 4096
