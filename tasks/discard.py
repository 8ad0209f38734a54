"""Taking a film out of the bucket: deleted after it was published, or rejected before.

A film may be published by another run while it is removed. `tasks.publish` looks for its objects
after it wrote the manifest, and we look for the manifest after we removed the objects: whoever
is later finds the other, and no order leaves a manifest without a video.
"""

from prefect import task

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.manifest import Film
from tasks.knobs import STAGE

_OBJECTS = (ObjectKey.video, ObjectKey.poster, ObjectKey.contact)


@task(name="discard-film", **STAGE)
def discard_film(film: Film) -> None:
    """Remove a rejected film that was never published; its chunks stay for a rerun.

    A film that another brief has published under the same content id stays too.
    """
    discard(ObjectStore(Settings.load().store), film)


def discard(store: ObjectStore, film: Film) -> None:
    """The same in `store`."""
    cid = film.plan.content_id
    if store.head(ObjectKey.manifest(cid)) is None:
        remove_film(store, cid)


def is_there(store: ObjectStore, content_id: Digest) -> bool:
    """Whether anything of that video is in the bucket."""
    parts = ObjectKey.manifest, *_OBJECTS, ObjectKey.manifest_copy
    return any(store.head(part(content_id)) is not None for part in parts)


def remove_film(store: ObjectStore, content_id: Digest) -> None:
    """Remove the manifest and all that it makes official. It can be repeated.

    Raises StoreError if the store went away in between; then the manifest is gone and some
    objects may be left.
    """
    first = ObjectKey.manifest(content_id)
    store.delete(first)
    for part in _OBJECTS:
        store.delete(part(content_id))
    if store.head(first) is not None:
        store.delete(first)
    store.delete(ObjectKey.manifest_copy(content_id))
