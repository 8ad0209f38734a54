"""Whether a backend can be used now."""

from pipelines.schema.frozen import Frozen


class Availability(Frozen):
    """Whether a backend can be used now, and if not, why."""

    available: bool
    reason: str = ""
    """Why not, and what to do; or a remark, such as the version of a server."""
