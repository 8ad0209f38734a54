"""The cameras of successive shots: the first is the widest, and the list repeats.

A shot's camera depends on its number only, so a longer version of a brief starts with the same
shots as the shorter one.
"""

CAMERAS = (
    "Wide shot",
    "Medium shot",
    "Close-up",
    "Low-angle shot",
    "Slow tracking shot",
    "High-angle shot",
)


def camera_of(shot: int) -> str:
    """The camera of `shot`, counted from 1."""
    return CAMERAS[(shot - 1) % len(CAMERAS)]
