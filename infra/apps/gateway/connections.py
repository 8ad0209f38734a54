"""How many connections there are, of whom, and which of them has to give way."""

from collections import Counter
from ipaddress import ip_address, ip_network
from typing import Protocol

_OTHERS = 300
"""Descriptors that are left for the store, Prefect, the database and files."""


class Connection(Protocol):
    """What can be closed to make room."""

    def evict(self) -> None: ...


class Connections:
    """The open connections of a server, by the address of the client."""

    def __init__(self, per_client: int, total: int, descriptors: int) -> None:
        """At most `per_client` of one address and `total` of all, less if `descriptors` say so."""
        self._per_client = per_client
        self._total = max(10, min(total, descriptors - _OTHERS))
        self._counts: Counter[str] = Counter()
        self._clients: dict[Connection, str] = {}
        self._waiting: dict[str, dict[Connection, None]] = {}
        """Without a complete request, the one that has waited longest first."""

    def enter(self, connection: Connection, address: str) -> bool:
        """Count a new one; False, and not counted, if there is no room and nobody gives way."""
        client = client_of(address)
        if self._counts[client] >= self._per_client:
            if not self._evict(client):
                return False
        elif len(self._clients) >= self._total:
            busiest = max(self._waiting, key=self._counts.__getitem__, default="")
            if not self._evict(busiest):
                return False
        self._counts[client] += 1
        self._clients[connection] = client
        self.wait(connection)
        return True

    def wait(self, connection: Connection) -> None:
        """It has no complete request: it may have to give way."""
        client = self._clients.get(connection)
        if client is not None:
            waiting = self._waiting.setdefault(client, {})
            waiting.pop(connection, None)
            waiting[connection] = None

    def work(self, connection: Connection) -> None:
        """It has one, and keeps its place until it is answered."""
        client = self._clients.get(connection)
        if client is not None:
            self._forget(client, connection)

    def leave(self, connection: Connection) -> None:
        """It is closed."""
        client = self._clients.pop(connection, None)
        if client is None:
            return
        self._forget(client, connection)
        self._counts[client] -= 1
        if not self._counts[client]:
            del self._counts[client]

    def _evict(self, client: str) -> bool:
        connection = next(iter(self._waiting.get(client, ())), None)
        if connection is None:
            return False
        self.leave(connection)  # now, not when the loop has closed it
        connection.evict()
        return True

    def _forget(self, client: str, connection: Connection) -> None:
        waiting = self._waiting.get(client, {})
        waiting.pop(connection, None)
        if not waiting:
            self._waiting.pop(client, None)


def client_of(address: str) -> str:
    """Whom an address belongs to: of IPv6, one client has a network of 64 bits."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(found, "ipv4_mapped", None)
    if found.version == 4 or mapped:
        return str(mapped or found)
    return str(ip_network(f"{found}/64", strict=False))
