"""`GET /metrics`: the studio's figures for Prometheus, for keys with the scope `metrics`."""

from collections.abc import Iterable, Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool

from infra.apps.gateway.access import Scraper, gateway_of
from infra.apps.gateway.measures import Figures, Queue, Spending

router = APIRouter()


@router.get("/metrics")
async def metrics(request: Request, _: Scraper) -> Response:
    """All figures, as text in Prometheus's format or in OpenMetrics if the client asks for it."""
    gateway = gateway_of(request)
    figures = await gateway.measures.look()
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    registry = _Both(gateway.meters.registry, figures, gateway.settings.paths.disk_low_gb)
    body = await run_in_threadpool(encode, registry)
    return Response(body, headers={"Content-Type": kind, "Cache-Control": "no-store"})


class _Both(CollectorRegistry):
    """The gateway's own counters, and figures that were read for this scrape."""

    def __init__(self, own: CollectorRegistry, figures: Figures, low_gb: float) -> None:
        super().__init__(auto_describe=False)
        self._own = own
        self.register(FiguresCollector(figures, low_gb))

    def collect(self) -> Iterator[Metric]:
        yield from self._own.collect()
        yield from super().collect()


class FiguresCollector(Collector):
    """Figures as Prometheus's gauges."""

    def __init__(self, figures: Figures, low_gb: float) -> None:
        """`low_gb` is the free space in GB below which a disk counts as low."""
        self._figures, self._low_gb = figures, low_gb

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield _info()
        parts = {(name,): float(up) for name, up in self._figures.parts.items()}
        yield _gauge("part_up", "1 if the part answered a moment ago.", ("part",), parts.items())
        if self._figures.queue is not None:
            yield from _queue(self._figures.queue)
        if self._figures.spending is not None:
            yield from _spending(self._figures.spending)
        yield from self._disks()

    def _disks(self) -> Iterator[Metric]:
        spaces, low = self._figures.spaces, self._low_gb
        free = {(space.folder,): float(space.free) for space in spaces}
        size = {(space.folder,): float(space.size) for space in spaces}
        is_low = {(space.folder,): float(space.is_low(low)) for space in spaces}
        label = ("folder",)
        yield _gauge("disk_free_bytes", "Free on the disk of a folder.", label, free.items())
        yield _gauge("disk_size_bytes", "Size of the disk of a folder.", label, size.items())
        yield _gauge("disk_low", "1 if less is free than the setting wants.", label, is_low.items())


def _queue(queue: Queue) -> Iterator[Metric]:
    runs = {pair: float(count) for pair, count in queue.runs.items()}
    yield _gauge("runs", "Runs that have not ended.", ("flow", "state"), runs.items())
    workers = {(pool,): float(count) for pool, count in queue.workers.items()}
    yield _gauge("workers", "Workers that are online.", ("pool",), workers.items())
    busy = {(): queue.gpu_busy}
    yield _gauge(
        "gpu_busy_ratio", "Share of the GPU workers that have a run, 0 to 1.", (), busy.items()
    )


def _spending(spending: Spending) -> Iterator[Metric]:
    currency = spending.currency
    spent = {(name, currency): float(total) for name, total in spending.services.items()}
    text = "Spent and reserved in the present month, by service; gpu is our own."
    yield _gauge("spent_this_month", text, ("service", "currency"), spent.items())
    caps = {(name, currency): float(amount) for name, amount in spending.caps.items()}
    yield _gauge("spending_cap", "Caps of the operator.", ("cap", "currency"), caps.items())


def _gauge(
    name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"reelwright_{name}", text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _info() -> InfoMetricFamily:
    from importlib import metadata

    version = {"version": metadata.version("reelwright")}
    return InfoMetricFamily("reelwright_build", "What runs here.", value=version)
