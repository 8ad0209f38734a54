"""How many authorities Prefect's clients load: one where no TLS is spoken, else all."""

import ssl
from pathlib import Path

import certifi
import pytest

from infra.apps.worker.authorities import load_few_authorities

HTTP = {"PREFECT_API_URL": "http://127.0.0.1:4200/api"}
HTTPS = {"PREFECT_API_URL": "https://studio.example/api"}
CHOSEN = {"PREFECT_API_SSL_CERT_FILE": "/etc/ours.pem"}


def test_a_client_of_a_server_without_tls_loads_one_authority(tmp_path: Path) -> None:
    environment = dict(HTTP)
    load_few_authorities(tmp_path, environment)
    file = environment["PREFECT_API_SSL_CERT_FILE"]
    assert len(ssl.create_default_context(cafile=file).get_ca_certs()) == 1
    assert len(ssl.create_default_context(cafile=certifi.where()).get_ca_certs()) > 50


@pytest.mark.parametrize("environment", [HTTPS, HTTP | CHOSEN, HTTPS | CHOSEN, {}])
def test_what_tls_needs_and_what_was_chosen_stays(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    after = dict(environment)
    load_few_authorities(tmp_path, after)
    assert after == environment
    assert not list(tmp_path.iterdir())
