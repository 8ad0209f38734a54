"""Whose run it is: a tag of Prefect's that the gateway alone writes.

It holds the client's id, not its name: another key of the same name inherits nothing. Runs of
webhooks, the calendar and Prefect's form have none; they are the managers'.
"""

from prefect.client.schemas.objects import FlowRun

from infra.apps.gateway.keys import Client

_PREFIX = "owner:"


def tags_of(client: Client) -> list[str]:
    """Of a run that `client` starts; the name is there to be read, and decides nothing."""
    return ["api", f"client:{client.name}"[:60], owner_tag(client)]


def owner_tag(client: Client) -> str:
    """The tag of all runs that `client` starts."""
    return f"{_PREFIX}{client.id}"


def owner_of(run: FlowRun) -> str:
    """The id of the client that started it; empty if none did."""
    found = [tag.removeprefix(_PREFIX) for tag in run.tags if tag.startswith(_PREFIX)]
    return found[0] if len(found) == 1 else ""


def starter_of(tags: list[str]) -> Client:
    """Who started a run with these tags of `tags_of` or of a webhook, for the audit log."""
    for prefix in ("client:", "webhook:"):
        for tag in tags:
            if tag.startswith(prefix):
                name = tag if prefix == "webhook:" else tag.removeprefix(prefix)
                owner = [item.removeprefix(_PREFIX) for item in tags if item.startswith(_PREFIX)]
                return Client(name, frozenset(), owner[0] if owner else name)
    return Client("", frozenset(), "")


def sees_all(client: Client) -> bool:
    """Whether `client` may see the runs of all clients, and decide about them if it approves."""
    return bool(client.scopes & {"manage", "review"})


def may_see(client: Client, owner: str) -> bool:
    """Whether a run of `owner` is open to `client`."""
    return sees_all(client) or (owner != "" and owner == client.id)


def may_cancel(client: Client, owner: str) -> bool:
    """Whether `client` may cancel a run of `owner`; who reviews it may see it only."""
    return "manage" in client.scopes or (owner != "" and owner == client.id)
