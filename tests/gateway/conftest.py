"""A gateway with a bucket of its own, for the tests of the editor's pages."""

from collections.abc import Iterator

import httpx
import pytest

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from tests.conftest import Cli
from tests.support.gateway import Gateway, gateway


@pytest.fixture(scope="session")
def desk_bucket(gateway_store: StoreSettings) -> ObjectStore:
    """Videos of these tests alone."""
    store = ObjectStore(gateway_store.model_copy(update={"bucket": "test-desk"}))
    store.ensure_bucket()
    return store


@pytest.fixture(scope="session")
def desk(
    deployed: Cli, desk_bucket: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """The gateway of `desk_bucket`."""
    folder = tmp_path_factory.mktemp("desk")
    with gateway(deployed, folder, REELWRIGHT_S3_BUCKET=desk_bucket.bucket) as found:
        yield found


@pytest.fixture
def editor(desk: Gateway) -> Iterator[httpx.Client]:
    """A client of it that may do everything."""
    with desk.client() as client:
        yield client
