"""Archives through `POST /uploads` of a real gateway, into a real store."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.media.archive import LIMITS, VIDEOS, unpack_motion
from pipelines.schema.keys import ObjectKey
from tests.pipelines.test_motion import motion
from tests.support.gateway import Gateway, gateway
from tests.support.studio import Cli

pytestmark = pytest.mark.xdist_group("gateway")  # all gateways of the suite share a bucket


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(deployed, tmp_path_factory.mktemp("gateway")) as found:
        yield found


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client() as client:
        yield client


@pytest.fixture
def store(gateway_store: StoreSettings) -> ObjectStore:
    """The gateway's own."""
    return ObjectStore(gateway_store)


def picture() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (40, 60), "red").save(target, "jpeg")
    return target.getvalue()


def packed(folder: Path, *more: tuple[str, bytes], **changed: dict[str, Any]) -> bytes:
    """An archive of four real videos and of `more`."""
    videos = motion(folder, **changed).videos
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for role, path in videos.items():
            archive.write(path, f"take/{VIDEOS[role]}")
        for name, data in more:
            archive.writestr(name, data)
    return target.getvalue()


def send(client: httpx.Client, data: bytes, name: str = "motion.zip") -> httpx.Response:
    return client.post("/uploads", files={"file": (name, data, "application/zip")})


def message(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


def uploads(store: ObjectStore) -> set[ObjectKey]:
    return set(store.list_keys("uploads/"))


def test_an_archive_is_checked_and_kept_with_its_character(
    client: httpx.Client, store: ObjectStore, tmp_path: Path
) -> None:
    data = packed(tmp_path, ("take/src_ref.png", picture()), ("take/notes.txt", b"secret"))
    answer = send(client, data, "../../x.png")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["seconds"] == pytest.approx(8 / 30, abs=0.001)
    assert (body["frames"], body["fps"], body["size"]) == (8, 30, "64*48")
    assert body["modes"] == ["animate", "replace"]
    assert body["ignored"] == ["take/notes.txt"]
    shown = store.get_bytes(ObjectKey(body["image_path"]))
    kept = store.get_bytes(ObjectKey(body["motion"]))
    assert shown is not None
    assert kept is not None
    assert Image.open(io.BytesIO(shown)).size == (40, 60)
    assert b"secret" not in kept
    folder, archive = tmp_path / "again", tmp_path / "kept.zip"
    archive.write_bytes(kept)
    folder.mkdir()
    assert set(unpack_motion(archive, folder).videos) == set(VIDEOS)


def test_the_same_videos_are_kept_once(
    client: httpx.Client, store: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = send(client, packed(tmp_path / "one")).json()
    before = uploads(store)
    second = send(client, packed(tmp_path / "two", ("readme.txt", b"hello"))).json()
    assert first["motion"] == second["motion"]
    assert first["image_path"] == second["image_path"] == ""
    assert uploads(store) == before


def test_what_breaks_a_rule_is_refused_and_nothing_of_it_is_kept(
    client: httpx.Client, store: ObjectStore, tmp_path: Path
) -> None:
    before = uploads(store)
    shown = ("take/src_ref.png", picture())
    uneven = packed(tmp_path, shown, face={"frames": 9})
    assert "src_face.mp4 has 9 frames" in message(send(client, uneven), 422)
    climbing = packed(tmp_path, shown, ("../../etc/cron.d/x", b"evil"))
    assert "names are relative" in message(send(client, climbing), 422)
    blank = packed(tmp_path, ("take/src_ref.png", b"no picture"))
    assert "src_ref.png in the archive: this is no PNG" in message(send(client, blank), 422)
    assert "no zip" in message(send(client, b"PK\x03\x04"), 422)
    assert uploads(store) == before


def test_a_picture_may_not_be_as_large_as_an_archive(client: httpx.Client) -> None:
    large = b"\x89PNG" + bytes(20_000_000)
    assert "20,000,000 bytes" in message(send(client, large, "x.png"), 413)


def test_an_archive_may_not_be_larger_than_its_limit(client: httpx.Client) -> None:
    data = b"PK\x03\x04" + bytes(LIMITS.packed_bytes + 200_000)
    assert "at most" in message(send(client, data), 413)
