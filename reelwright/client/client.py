"""The client: one method for each thing that a gateway can be asked for."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Any, Literal, Self, Unpack

import httpx

from reelwright.client.addresses import Part, file_of, run_id, times, video_of
from reelwright.client.answers import AuditEntry, Deleted, Ended, Me, MotionUpload, Upload
from reelwright.client.briefs import BriefFields, EditedEntry, EditedShot
from reelwright.client.errors import WaitTimeoutError
from reelwright.client.models import (
    Check,
    Link,
    NewLink,
    Note,
    Run,
    RunState,
    StoryboardDraft,
    Trashed,
    Video,
    WebhookTest,
)
from reelwright.client.transport import Model, Transport, checked, json_of


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

    def check(self, prompt: str, **fields: Unpack[BriefFields]) -> Check:
        """What a brief would be made with, how long that takes and what it costs. Starts nothing;
        what `start` would refuse is refused in the same words."""
        body = {"prompt": prompt, **fields}
        return self._model(Check, self._transport.send("POST", "/briefs/check", json=body))

    def run(self, run: Run | uuid.UUID | str) -> Run:
        """How a run is now."""
        return self._get(Run, f"/runs/{run_id(run)}")

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
        return self._pages(Run, "/runs", wanted | times(since, until) | {"limit": 100})

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

    def storyboard(self, run: Run | uuid.UUID | str) -> StoryboardDraft:
        """The storyboard that a run asks about, which `answer` may change."""
        return self._get(StoryboardDraft, f"/runs/{run_id(run)}/storyboard")

    def answer(
        self,
        run: Run | uuid.UUID | str,
        decision: Literal["approve", "reject", "revise"],
        *,
        reason: str = "",
        shots: Sequence[EditedShot] = (),
        sheet: Sequence[EditedEntry] = (),
    ) -> Run:
        """Decide about the storyboard, video or price that a run waits for.

        Of a storyboard, `shots` are all its shots in their order: each with its words, and with
        the number of the draft as `drafted` unless it is new. `sheet` has other words for
        characters and places. "revise" has shots written again by their `wish`, makes stills of
        what changed, and the run asks again.
        """
        body: dict[str, Any] = {"decision": decision, "reason": reason}
        edits = {"shots": list(shots), "sheet": list(sheet)}
        body |= {name: items for name, items in edits.items() if items}
        path = f"/runs/{run_id(run)}/answer"
        return self._model(Run, self._transport.send("POST", path, json=body))

    def cancel(self, run: Run | uuid.UUID | str) -> Run:
        """Cancel a run; its work on the GPU ends too."""
        return self._model(Run, self._transport.send("DELETE", f"/runs/{run_id(run)}"))

    def upload(self, file: Path | str) -> Upload | MotionUpload:
        """Keep a picture for a brief's `image`, or an archive for its `motion`."""
        path = Path(file)
        with path.open("rb") as stream:
            answer = self._transport.send("POST", "/uploads", files={"file": (path.name, stream)})
        if "motion" in json_of(answer):
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
        starred: bool = False,
        order: Literal["newest", "oldest"] = "newest",
    ) -> Iterator[Video]:
        """Published videos; read page by page as they are asked for.

        `text` is a part of the prompt or of the title; `starred` leaves only those with a star;
        `since` and `until` have a time zone.
        """
        wanted: dict[str, Any] = {"campaign": campaign, "text": text}
        if starred:
            wanted["starred"] = "true"
        if order != "newest":
            wanted["order"] = order
        return self._pages(Video, "/videos", wanted | times(since, until) | {"limit": 200})

    def again(
        self,
        video: Video | Run | str,
        *,
        take: int = -1,
        shots: Sequence[int] = (),
        preset: str = "",
        longer: float = 0.0,
        idempotency_key: str = "",
    ) -> Run:
        """Make a published video again with a change; parts that do not change are kept, and so is
        the video.

        `take` is a number from which other seeds follow, for the shots with the numbers in `shots`
        or, if that is empty, for all of them. `preset` is another preset, `longer` seconds that are
        added at the end. The same `idempotency_key` and change are the same run. Raises
        RunEndedError if `video` is a run that has none.
        """
        body = {"take": take, "shots": list(shots), "preset": preset, "longer": longer}
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        path = f"{video_of(video)}/again"
        return self._model(Run, self._transport.send("POST", path, json=body, headers=headers))

    def note(self, video: Video | Run | str) -> Note:
        """Title and star of a video, and when its last shared link ends."""
        return self._get(Note, f"{video_of(video)}/note")

    def set_note(
        self, video: Video | Run | str, *, title: str | None = None, starred: bool | None = None
    ) -> Note:
        """Give a video a title ("" takes it away), or a star, or take that away. What is None stays
        as it is."""
        wanted = {"title": title, "starred": starred}
        body = {name: value for name, value in wanted.items() if value is not None}
        path = f"{video_of(video)}/note"
        return self._model(Note, self._transport.send("PATCH", path, json=body))

    def share(self, video: Video | Run | str, *, days: float = 7.0) -> NewLink:
        """Make a link that shows one video to whoever has it, without a login, for up to 90 days.
        Its `url` is told this once."""
        path = f"{video_of(video)}/share"
        return self._model(NewLink, self._transport.send("POST", path, json={"days": days}))

    def links(self, video: Video | Run | str) -> list[Link]:
        """The links that show a video now, without their addresses."""
        answer = self._transport.send("GET", f"{video_of(video)}/share")
        return [checked(Link, item, answer) for item in json_of(answer)]

    def end_links(self, video: Video | Run | str, link: Link | str = "") -> int:
        """End one link of a video, or all of them. Returns how many ended."""
        chosen = link.id if isinstance(link, Link) else link
        query = {"link": chosen} if chosen else {}
        answer = self._transport.send("DELETE", f"{video_of(video)}/share", params=query)
        return self._model(Ended, answer).ended

    def manifest(self, video: Video | Run | str) -> dict[str, Any]:
        """The manifest of a video, as it lies in the bucket: docs/reference/manifest.md."""
        found = json_of(self._transport.send("GET", file_of(video, "manifest")))
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
                self._transport.stream(file_of(video, part), file.write)
            except BaseException:
                Path(file.name).unlink()
                raise
        os.replace(file.name, target)  # noqa: PTH105 - of two names in one folder
        return target

    def trash(self, video: Video | Run | str) -> Trashed:
        """Delete a video so that `restore` can take it back for an hour: any with the scope
        `manage`, with `make` one that nobody else asked for. It leaves all lists at once, and its
        links end."""
        path = f"{video_of(video)}/trash"
        return self._model(Trashed, self._transport.send("POST", path))

    def restore(self, video: Video | Trashed | Run | str) -> Video:
        """Take back a deletion by `trash` or on the video's page: any with the scope `manage`, with
        `make` one of one's own. Its links stay ended."""
        gone = video.id if isinstance(video, Trashed) else video
        return self._model(Video, self._transport.send("POST", f"{video_of(gone)}/restore"))

    def delete(self, video: Video | Trashed | str) -> Deleted:
        """Delete a video for ever: any with the scope `manage`, with `make` one that nobody else
        asked for, and that no run of somebody else makes or waits for (ApiError `in_use`).

        It can be repeated if it broke off. `trash` can be taken back.
        """
        video = video.id if isinstance(video, Trashed) else video
        return self._model(Deleted, self._transport.send("DELETE", file_of(video, "video")))

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
        return self._pages(AuditEntry, path, wanted | times(since, until) | {"limit": 500})

    # -------------------------------------------------------------------------------------------

    def _get(self, kind: type[Model], path: str) -> Model:
        return self._model(kind, self._transport.send("GET", path))

    def _pages(self, kind: type[Model], path: str, wanted: dict[str, Any]) -> Iterator[Model]:
        """Everything on all pages; each one's Link header leads to the next."""
        query = {name: value for name, value in wanted.items() if value}
        answer = self._transport.send("GET", path, params=query)
        while True:
            for item in json_of(answer):
                yield checked(kind, item, answer)
            following = answer.links.get("next", {}).get("url")
            if following is None:
                return
            answer = self._transport.send("GET", following)

    def _model(self, kind: type[Model], answer: httpx.Response) -> Model:
        return checked(kind, json_of(answer), answer)
