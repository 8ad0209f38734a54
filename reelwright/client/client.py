"""The client: one method for each thing that a gateway can be asked for."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

import httpx
from pydantic import BaseModel, ValidationError

from reelwright.client.answers import AuditEntry, Deleted, Me, MotionUpload, Upload
from reelwright.client.briefs import BriefFields
from reelwright.client.errors import RunEndedError, UnexpectedAnswerError, WaitTimeoutError
from reelwright.client.models import Run, RunState, Video, WebhookTest
from reelwright.client.transport import Transport

Model = TypeVar("Model", bound=BaseModel)
Part = Literal["video", "picture", "webp", "poster", "contact", "manifest"]
_FILES: dict[Part, str] = {
    "video": ".mp4",
    "picture": ".png",
    "webp": ".webp",
    "poster": ".jpg",
    "contact": "-contact.jpg",
    "manifest": ".json",
}


class Client:
    """A studio's gateway. Every method raises ApiError if the gateway refuses, NotReachableError
    if it cannot be reached, and UnexpectedAnswerError if something else answers."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 60.0,
        retries: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`url` is the gateway's address as in `http://127.0.0.1:8004`, `key` an API key.

        `timeout` is in seconds, for each request. `retries` is how often a request is repeated
        that may be. `transport` replaces httpx's own, for proxies and certificates.
        """
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout,
            transport=transport,
        )
        self._transport = Transport(self._http, retries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def me(self) -> Me:
        """Whose key it is, and what it may do."""
        return self._get(Me, "/api/v1/me")

    # Runs --------------------------------------------------------------------------------------

    def start(
        self, prompt: str, *, idempotency_key: str = "", **fields: Unpack[BriefFields]
    ) -> Run:
        """Start a brief. The same `idempotency_key` and brief are the same run, however often they
        are sent; without one, each call is a run of its own."""
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        body = {"prompt": prompt, **fields}
        return self._model(Run, self._transport.send("POST", "/briefs", json=body, headers=headers))

    def run(self, run: Run | uuid.UUID | str) -> Run:
        """How a run is now."""
        return self._get(Run, f"/runs/{_id(run)}")

    def runs(
        self,
        *,
        state: RunState | None = None,
        campaign: str = "",
        text: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Run]:
        """The runs that the key may see, the newest first; read page by page as they are asked for.

        `text` is a part of the prompt; `since` and `until` have a time zone.
        """
        wanted = {"state": state, "campaign": campaign, "text": text}
        return self._pages(Run, "/runs", wanted | _times(since, until) | {"limit": 100})

    def wait(
        self,
        run: Run | uuid.UUID | str,
        *,
        timeout: float | None = None,
        every: float = 2.0,
        on_change: Callable[[Run], object] = lambda _: None,
    ) -> Run:
        """The run when it has ended, or when it waits for a person (`waiting_for`).

        It is asked for every so many seconds; `on_change` gets each state that differs. Raises
        WaitTimeoutError after `timeout` seconds; the run goes on.
        """
        end = None if timeout is None else time.monotonic() + timeout
        last = None
        while True:
            found = self.run(run)
            if found != last:
                on_change(found)
                last = found
            if found.ended or found.waiting_for:
                return found
            if end is not None and time.monotonic() + every > end:
                raise WaitTimeoutError(
                    f"after {timeout:g} s the run {found.id} is {found.state}, at "
                    f"{found.percent:g} %; it goes on: wait for it again"
                )
            time.sleep(every)

    def answer(
        self,
        run: Run | uuid.UUID | str,
        decision: Literal["approve", "reject"],
        *,
        reason: str = "",
        shots: Sequence[Mapping[str, object]] = (),
    ) -> Run:
        """Decide about the storyboard, video or price that a run waits for. `shots` replace those
        of a storyboard."""
        body: dict[str, Any] = {"decision": decision, "reason": reason}
        if shots:
            body["shots"] = [dict(shot) for shot in shots]
        return self._model(Run, self._transport.send("POST", f"/runs/{_id(run)}/answer", json=body))

    def cancel(self, run: Run | uuid.UUID | str) -> Run:
        """Cancel a run; its work on the GPU ends too."""
        return self._model(Run, self._transport.send("DELETE", f"/runs/{_id(run)}"))

    def upload(self, file: Path | str) -> Upload | MotionUpload:
        """Keep a picture for a brief's `image`, or an archive for its `motion`."""
        path = Path(file)
        with path.open("rb") as stream:
            answer = self._transport.send("POST", "/uploads", files={"file": (path.name, stream)})
        if "motion" in _json(answer):
            return self._model(MotionUpload, answer)
        return self._model(Upload, answer)

    # Videos ------------------------------------------------------------------------------------

    def videos(
        self,
        *,
        campaign: str = "",
        text: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Video]:
        """Published videos, the newest first; read page by page as they are asked for."""
        wanted = {"campaign": campaign, "text": text}
        return self._pages(Video, "/videos", wanted | _times(since, until) | {"limit": 200})

    def manifest(self, video: Video | Run | str) -> dict[str, Any]:
        """The manifest of a video, as it lies in the bucket: docs/reference/manifest.md."""
        found = _json(self._transport.send("GET", _file(video, "manifest")))
        return dict(found)

    def download(self, video: Video | Run | str, to: Path | str, part: Part = "video") -> Path:
        """Write a video or picture, its poster, contact sheet or manifest to the file `to`, and
        return it. `part` "video" is the picture (PNG) where a picture was asked for.

        `video` is a video, its content id, or the run that published it. The file appears when it
        is whole. Raises RunEndedError if the run has no video.
        """
        target = Path(to)
        with NamedTemporaryFile(dir=target.parent, prefix=".part-", delete=False) as file:
            try:
                self._transport.stream(_file(video, part), file.write)
            except BaseException:
                Path(file.name).unlink()
                raise
        os.replace(file.name, target)  # noqa: PTH105 - of two names in one folder
        return target

    def delete(self, video: Video | str) -> Deleted:
        """Delete a video; needs the scope `manage`. It can be repeated if it broke off."""
        return self._model(Deleted, self._transport.send("DELETE", _file(video, "video")))

    # The service -------------------------------------------------------------------------------

    def test_webhook(self, endpoint: str) -> WebhookTest:
        """Have the gateway send a test event to an endpoint of its operator's file; needs the scope
        `manage`."""
        return self._model(WebhookTest, self._transport.send("POST", f"/webhooks/{endpoint}/test"))

    def audit(
        self,
        *,
        who: str = "",
        action: str = "",
        subject: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[AuditEntry]:
        """Who did what, the newest first; needs the scope `manage`."""
        wanted = {"who": who, "action": action, "subject": subject}
        path = "/api/v1/audit"
        return self._pages(AuditEntry, path, wanted | _times(since, until) | {"limit": 500})

    # -------------------------------------------------------------------------------------------

    def _get(self, kind: type[Model], path: str) -> Model:
        return self._model(kind, self._transport.send("GET", path))

    def _pages(self, kind: type[Model], path: str, wanted: dict[str, Any]) -> Iterator[Model]:
        """Everything on all pages; each one's Link header leads to the next."""
        query = {name: value for name, value in wanted.items() if value}
        answer = self._transport.send("GET", path, params=query)
        while True:
            for item in _json(answer):
                yield _checked(kind, item, answer)
            following = answer.links.get("next", {}).get("url")
            if following is None:
                return
            answer = self._transport.send("GET", following)

    def _model(self, kind: type[Model], answer: httpx.Response) -> Model:
        return _checked(kind, _json(answer), answer)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise UnexpectedAnswerError(
            f"{answer.url} answered something that is no JSON; check the address"
        ) from error


def _checked(kind: type[Model], value: Any, answer: httpx.Response) -> Model:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise UnexpectedAnswerError(
            f"{answer.url.path} answered something that this client cannot read; the gateway may "
            f"be of another version: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}"
        ) from error


def _id(run: Run | uuid.UUID | str) -> str:
    return str(run.id if isinstance(run, Run) else run)


def _file(video: Video | Run | str, part: Part) -> str:
    """Address of a part of a video."""
    if isinstance(video, Run):
        if not video.video_path:
            raise RunEndedError(
                f"the run {video.id} has no video: it is {video.state}"
                + (f", {video.detail}" if video.detail else "")
            )
        return _beside(video.video_path, part)
    if isinstance(video, Video):
        return _beside(video.video_path, part)
    return f"/videos/{video}{_FILES[part]}"


def _beside(path: str, part: Part) -> str:
    """The file of that part beside the one at `path`; "video" is the picture of a brief for one."""
    return path if part == "video" else path.rpartition(".")[0] + _FILES[part]


def _times(since: datetime | None, until: datetime | None) -> dict[str, str | None]:
    """Raises ValueError for a time without a zone."""
    for name, when in (("since", since), ("until", until)):
        if when is not None and when.tzinfo is None:
            raise ValueError(f"{name}={when} has no time zone; take datetime.now(UTC), for example")
    return {
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
    }
