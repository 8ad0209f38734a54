"""How far a job is, as the server tells it by websocket.

The websocket is only for progress: whether a job is done is always asked by HTTP, so that nothing
is lost with a connection that breaks.
"""

import json
from collections.abc import Callable
from typing import Any

from pipelines.backends.remote.access import Listener
from pipelines.errors import SettingsError, UnavailableError

_TRIES = 3
"""Connections that are tried for one job: a proxy that lets no websocket through stays so."""


class JobProgress:
    """The progress of one job. Nothing here raises."""

    def __init__(self, job: str, sampler: str, nodes: int, listen: Callable[[], Listener]) -> None:
        self._job, self._sampler, self._nodes = job, sampler, max(nodes, 1)
        self._listen = listen
        self._listener: Listener | None = None
        self._failed = 0
        self._ended: set[str] = set()
        self._current = ""
        self.share = 0.0
        """0 to 1; it never falls."""

    def update(self) -> float:
        """Read what came since the last call."""
        try:
            if self._listener is None and self._failed < _TRIES:
                self._listener = self._listen()
            for text in self._listener.texts() if self._listener else ():
                self._read(text)
        except (UnavailableError, SettingsError):
            self._failed += 1
            self.close()
        return self.share

    def close(self) -> None:
        """End the connection."""
        if self._listener:
            self._listener.close()
            self._listener = None

    def _read(self, text: str) -> None:
        try:
            message = json.loads(text)
            kind, data = message["type"], message["data"]
            if data.get("prompt_id") != self._job:
                return
            if kind == "progress":
                self._step(str(data.get("node")), data)
            elif kind == "progress_state":
                for node, state in data["nodes"].items():
                    if state.get("state") == "finished":
                        self._end(str(node))
                    else:
                        self._step(str(node), state)
            elif kind == "executing":
                self._end(self._current)
                self._current = str(data.get("node") or "")
            elif kind == "execution_cached":
                self._end(*map(str, data["nodes"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # a message of a version that we do not know

    def _step(self, node: str, state: Any) -> None:
        """One step of a node; a mapped sampler stands for the whole job, as it takes nearly all of
        its time."""
        if self._sampler and node == self._sampler:
            self._reach(float(state["value"]) / max(float(state["max"]), 1.0))

    def _end(self, *nodes: str) -> None:
        """Nodes have ended. Without a sampler, all nodes count alike."""
        if not self._sampler:
            self._ended |= set(nodes) - {""}
            self._reach(len(self._ended) / self._nodes)

    def _reach(self, share: float) -> None:
        self.share = max(self.share, min(max(share, 0.0), 1.0))
