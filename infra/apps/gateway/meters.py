"""What the gateway counts itself: its requests, runs that ended, and the seconds of their stages.

The counters begin at zero when the gateway starts, as Prometheus expects of a process. Every label
that can occur is there from the start with the value 0: a counter that appeared with its first
event would hide that event from `increase`.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from infra.apps.gateway.causes import CAUSES
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.videos import Videos
from infra.apps.gateway.views import ENDED, RunView
from pipelines.errors import ReelwrightError
from pipelines.schema.keys import Digest
from pipelines.schema.stages import STAGES

_REMEMBERED = 10_000
"""Runs that are known to be counted; a look at the runs finds those of some minutes, not more."""
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
_STAGE_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_DEVICES = ("cuda", "cpu", "remote")
_UNKNOWN = "other"
"""Route of a request for no address of ours: names that clients invent must not become series."""
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_log = logging.getLogger("reelwright.meters")
# Else each series would have another one beside it, with the time at which it began.
disable_created_metrics()  # type: ignore[no-untyped-call]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Meters:
    """The counters of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "reelwright_gateway_requests",
            "Requests that were answered, by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "reelwright_gateway_request_seconds",
            "Seconds from a request to the first byte of its answer.",
            ("route",),
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self.ended = Counter(
            "reelwright_briefs_ended",
            "Briefs that came to their end since the gateway started.",
            ("outcome",),
            registry=self.registry,
        )
        self.failures = Counter(
            "reelwright_failures",
            "Briefs that failed since the gateway started, by cause.",
            ("cause",),
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "reelwright_stage_seconds",
            "Seconds of a stage in runs that made a video, as its manifest says.",
            ("stage", "device"),
            buckets=_STAGE_BUCKETS,
            registry=self.registry,
        )
        for stage in STAGES:
            for device in _DEVICES:
                self.stage_seconds.labels(stage, device)
        for outcome in sorted(ENDED):
            self.ended.labels(outcome)
        for cause in CAUSES:
            self.failures.labels(cause)


class EndedRuns:
    """Counts each run that ends, once, as the background work finds it."""

    def __init__(self, meters: Meters, videos: Videos) -> None:
        self._meters, self._videos = meters, videos
        self._counted: OrderedDict[UUID, None] = OrderedDict()
        self._began = datetime.now().astimezone()

    def note(self, view: RunView) -> None:
        """Count `view` if it has ended and is not counted yet.

        What ended before the gateway started is not counted. An error of the store is logged: it
        must not keep the run's events from being sent.
        """
        if not view.ended or view.id in self._counted:
            return
        self._counted[view.id] = None
        while len(self._counted) > _REMEMBERED:
            self._counted.popitem(last=False)
        if view.ended_at is None or view.ended_at < self._began:
            return
        self._meters.ended.labels(view.state).inc()
        if view.state == "failed":
            self._meters.failures.labels(view.cause).inc()
        elif view.state == "completed" and view.watch:
            self._note_stages(view)

    def _note_stages(self, view: RunView) -> None:
        try:
            manifest = self._videos.manifest(Digest(view.watch.rpartition("/")[2]))
        except (ReelwrightError, ProblemError) as error:
            _log.warning("the seconds of %s are not counted: %s", view.name, error)
            return
        # A video that was there before this run was asked for cost this run nothing.
        if manifest is None or view.created is None:
            return
        if datetime.fromisoformat(manifest.created) < view.created.replace(microsecond=0):
            return
        device = manifest.device.kind if manifest.device else "cpu"
        for cost in manifest.stages:
            if cost.stage in STAGES:
                self._meters.stage_seconds.labels(cost.stage, device).observe(cost.seconds)


class MeterMiddleware:
    """Counts requests and the seconds until their answers begin, by the route that took them."""

    def __init__(
        self, app: Callable[[Scope, Receive, Send], Awaitable[None]], meters: Meters
    ) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def noted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":  # before the client knows of it
                self._count(scope, int(message["status"]), time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, noted)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else _UNKNOWN
        self._meters.requests.labels(method, route, str(status)).inc()
        self._meters.request_seconds.labels(route).observe(seconds)


def route_of(scope: Scope) -> str:
    """The pattern of the route that took a request, such as `/runs/{run}`; never a value of it."""
    if str(scope.get("path", "")).startswith("/static/"):
        return "/static"
    path = getattr(scope.get("route"), "path", "")
    return str(path) or _UNKNOWN
