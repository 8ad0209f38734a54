"""Removes a film from the bucket: one that was published, or one that was rejected.

Another run may publish the film while it is removed. `tasks.publish` checks the objects after it
wrote the manifest, and `remove_film` checks for a manifest after it removed the objects. The later
of the two sees the other's change, so no manifest stays without its video.
"""

from datetime import UTC, datetime

from prefect import task

from infra.adapters.manifests import held
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.documents.manifest import Film
from pipelines.schema.keys import Digest, ObjectKey
from tasks.options import STAGE

_OBJECTS = (
    ObjectKey.video,
    ObjectKey.image,
    ObjectKey.image_webp,
    ObjectKey.poster,
    ObjectKey.contact,
)
"""Of a video, or of a picture; of each some are missing, which is no error."""


@task(name="discard-film", **STAGE)
def discard_film(film: Film) -> None:
    """Remove a rejected film that was never published. Its chunks stay for another run.

    A film that another brief has published under the same content id stays too, and so does one
    that was deleted a short while ago and can be taken back. Raises
    SettingsError if a setting is invalid, and StoreError if the store fails.
    """
    discard(ObjectStore(Settings.load().store), film)


def discard(store: ObjectStore, film: Film) -> None:
    """Remove a rejected film from `store`, as `discard_film` does. Raises StoreError if the store
    fails."""
    cid = film.plan.content_id
    if store.head(ObjectKey.manifest(cid)) is None and held(store, cid, datetime.now(UTC)) is None:
        remove_film(store, cid)


def is_there(store: ObjectStore, content_id: Digest) -> bool:
    """Whether any object of that video is in the bucket. Raises StoreError if the store fails."""
    parts = ObjectKey.manifest, *_OBJECTS, ObjectKey.manifest_copy
    return any(store.head(part(content_id)) is not None for part in parts)


def remove_film(store: ObjectStore, content_id: Digest) -> None:
    """Remove the manifest, its copy and all objects that it makes official. It can be repeated.

    Raises StoreError if the store fails. The manifest is removed first, so after an error some of
    the other objects may be left, but no incomplete video is published. Its copy is removed last:
    until then it says whose film it was.
    """
    first = ObjectKey.manifest(content_id)
    store.delete(first)
    for part in _OBJECTS:
        store.delete(part(content_id))
    if store.head(first) is not None:
        store.delete(first)
    store.delete(ObjectKey.manifest_copy(content_id))
