"""The queries of the Grafana dashboard, and which series of a scrape they need."""

import json
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import REPOSITORY

FILE = REPOSITORY / "infra" / "deploy" / "grafana" / "reelwright.json"


def queries() -> list[str]:
    """Every query of every panel."""
    panels = json.loads(FILE.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def selectors_of(query: str) -> list[tuple[str, dict[str, str]]]:
    """Name and labels of every series that a query selects. Raises ValueError if it is no PromQL,
    or selects by anything but equality."""
    return list(_selectors(promql.parse(query)))


def _selectors(node: Any) -> Iterator[tuple[str, dict[str, str]]]:
    if isinstance(node, promql.VectorSelector):
        wanted = {}
        for matcher in node.matchers.matchers:
            if matcher.op != promql.MatchOp.Equal:
                raise ValueError(f"{node}: only labels that are equal to a value are looked up")
            wanted[matcher.name] = matcher.value
        yield node.name, wanted
    for child in _children(node):
        yield from _selectors(child)


def _children(node: Any) -> Iterator[Any]:
    for name in ("expr", "lhs", "rhs", "vector_selector", "vs"):
        child = getattr(node, name, None)
        if child is not None:
            yield child
    yield from getattr(node, "args", ())


def series_of(text: str) -> list[tuple[str, dict[str, str]]]:
    """Name and labels of every series of a scrape."""
    return [
        (sample.name, dict(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def missing(text: str) -> list[str]:
    """The selectors of the dashboard that find nothing in a scrape."""
    found = series_of(text)
    return [
        f"{name}{wanted} of {query}"
        for query in queries()
        for name, wanted in selectors_of(query)
        if not any(known == name and wanted.items() <= labels.items() for known, labels in found)
    ]
