"""Reads the header of a GGUF file: a few values, not the lists of a large vocabulary."""

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pipelines.errors import WeightsError

_NUMBERS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
"""Types of the format, as `struct` names them."""
_TEXT, _ARRAY = 8, 9
TOKENS = "tokenizer.ggml.tokens"
_TEMPLATE = "tokenizer.chat_template"


def header_of(model: Path) -> Mapping[str, object]:
    """The values up to the list of tokens, of which only their number is read.

    Raises OSError, ValueError, KeyError or struct.error if `model` is no GGUF file.
    """
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        cursor = _Cursor.at_values(data)
        values: dict[str, object] = {}
        for _ in range(cursor.take("Q")):
            name = cursor.text()
            kind = cursor.take("I")
            if name == TOKENS and kind == _ARRAY:
                # The lengths come before; all tokens of a large vocabulary take a second to read.
                cursor.take("I")
                values[name] = cursor.take("Q")
                break
            values[name] = cursor.value(kind)
        return values


def has_chat_template(model: Path) -> bool:
    """Whether the GGUF file `model` says how a user's turn is written, as instruct models do.

    It passes over all tokens, which takes a large vocabulary a second. Raises WeightsError if it is
    no GGUF file.
    """
    try:
        with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            cursor = _Cursor.at_values(data)
            for _ in range(cursor.take("Q")):
                if cursor.text() == _TEMPLATE:
                    return True
                cursor.skip(cursor.take("I"))
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise WeightsError(
            f"{model} cannot be read as a GGUF file: {error}; name another one"
        ) from error
    return False


class _Cursor:
    """Reads values one after the other. Raises struct.error at the end of the data."""

    @classmethod
    def at_values(cls, data: mmap.mmap) -> Self:
        """Before the number of values. Raises ValueError if `data` is no GGUF file."""
        if data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        return cls(data, 16)  # after the magic, the version and the number of tensors

    def __init__(self, data: mmap.mmap, offset: int) -> None:
        self._data, self._offset = data, offset

    def take(self, form: str) -> int:
        """The next number."""
        (number,) = struct.unpack_from(f"<{form}", self._data, self._offset)
        self._offset += struct.calcsize(f"<{form}")
        found: int = number
        return found

    def text(self) -> str:
        """The next text."""
        length = self.take("Q")
        start, self._offset = self._offset, self._offset + length
        return self._data[start : self._offset].decode(errors="replace")

    def skip(self, kind: int) -> None:
        """Pass over the next value, of that type."""
        if kind == _TEXT:
            length = self.take("Q")  # which moves the offset itself
            self._offset += length
        elif kind == _ARRAY:
            inner = self.take("I")
            for _ in range(self.take("Q")):
                self.skip(inner)
        else:
            self.take(_NUMBERS[kind])

    def value(self, kind: int) -> object:
        """The next value, of that type."""
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            inner = self.take("I")
            return [self.value(inner) for _ in range(self.take("Q"))]
        return self.take(_NUMBERS[kind])
