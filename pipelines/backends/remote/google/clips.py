"""Clips that come inside an answer."""

import base64
import binascii
from pathlib import Path

from pipelines.errors import MediaError

LONGEST_CLIP = 512 * 2**20
"""Bytes of a download: 15 s at 1080p and 100 Mbit/s have 188 MB."""


def write_base64(data: str, path: Path) -> None:
    """Write a clip that came as base64. Raises MediaError if the text is broken or too long."""
    if len(data) > LONGEST_CLIP * 4 // 3:
        raise MediaError(f"the clip in the answer has more than {LONGEST_CLIP} bytes")
    try:
        path.write_bytes(base64.b64decode(data, validate=True))
    except binascii.Error as error:
        raise MediaError(f"the clip in the answer is no whole base64 text: {error}") from error
