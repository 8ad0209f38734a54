"""Whatever is sent to the addresses that the gateway documents, it answers as documented."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conftest import Cli
from tests.support.gateway import Gateway, gateway

pytestmark = pytest.mark.xdist_group("gateway")
EXAMPLES = 15


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("openapi")
    with gateway(deployed, folder, REELWRIGHT_GATEWAY_WAIT_SECONDS="0") as found:
        yield found


@pytest.fixture(scope="module")
def api(asked: Gateway) -> schemathesis.BaseSchema:
    found = schemathesis.openapi.from_url(f"{asked.url}/openapi.json")
    # A made-up key would be refused at every address, and nothing behind that be asked.
    found.config.generation.update(with_security_parameters=False)
    return found


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_it_answers_as_documented(api: schemathesis.BaseSchema) -> None:
    """Its own loop instead of the plug-in's, which does not know this pytest."""
    operations = [result.ok() for result in api.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS, timeout=60)

        ask()
