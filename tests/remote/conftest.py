"""Fixtures of the remote backends' tests."""

from collections.abc import Iterator

import pytest

from tests.remote.google import OMNI_KEY, VEO_TOKEN
from tests.support.fake_google import KEY, TOKEN, FakeGoogle, fake_google


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    """A fake of Google's services, with the secrets for it in the environment."""
    monkeypatch.setenv(OMNI_KEY, KEY)
    monkeypatch.setenv(VEO_TOKEN, TOKEN)
    with fake_google() as google:
        yield google
