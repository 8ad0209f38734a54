"""The language of a page: chosen by a link, else negotiated."""

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from infra.apps.gateway.languages import choice
from infra.apps.gateway.languages.choice import COOKIE, negotiated
from infra.apps.gateway.problems import ProblemError, add_handlers


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    add_handlers(app)
    app.include_router(choice.router)

    @app.get("/refused")
    def refused() -> None:
        raise ProblemError(409, "not_waiting", "this run does not wait for an answer")

    return TestClient(app, follow_redirects=False)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("th", "th"),
        ("th-TH,th;q=0.9,en;q=0.8", "th"),
        ("en-GB,en;q=0.9,th;q=0.8", "en"),
        ("de, th;q=0.5, en;q=0.4", "th"),
        ("de, fr", "en"),
        ("th;q=0", "en"),
        ("TH", "th"),
        ("*", "en"),
        ("th;q=much, en;q=0.1", "en"),
        (";;,,=", "en"),
    ],
)
def test_the_browser_asks_for_a_language(accepted: str, language: str) -> None:
    assert negotiated(accepted) == language


def test_a_chosen_language_goes_before_that_of_the_browser(client: TestClient) -> None:
    answer = client.get("/language/en?to=/new", headers={"Accept-Language": "th"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/new"
    assert f"{COOKIE}=en" in answer.headers["set-cookie"]
    found = client.get("/refused", headers={"Accept-Language": "th"})
    assert found.headers["content-language"] == "en"


@pytest.mark.parametrize("to", ["https://elsewhere.example/", "//elsewhere.example", "/\\x"])
def test_a_link_leads_to_no_other_site(client: TestClient, to: str) -> None:
    assert client.get("/language/th", params={"to": to}).headers["location"] == "/"


def test_an_unknown_language_is_refused(client: TestClient) -> None:
    assert client.get("/language/xx").status_code == 404


def test_an_error_is_in_the_language_of_its_reader_and_its_code_is_not(client: TestClient) -> None:
    def error(language: str) -> httpx.Response:
        return client.get("/refused", headers={"Accept-Language": language})

    thai, english = error("th"), error("en")
    assert thai.json()["error"] == {"code": "not_waiting", "message": "งานนี้ไม่ได้รอคำตอบ"}
    assert english.json()["error"]["message"] == "this run does not wait for an answer"
    assert thai.headers["content-language"] == "th"
    assert "Accept-Language" in thai.headers["vary"]
