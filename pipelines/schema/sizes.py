"""Sizes of frames."""

import math
from typing import Literal, NamedTuple

Aspect = Literal["preset", "landscape", "portrait", "square"]


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> "Size":
        """`"832*480"` → Size(832, 480). Raises ValueError on anything else."""
        width, height = text.split("*")
        return cls(int(width), int(height))

    def __str__(self) -> str:
        return f"{self.width}*{self.height}"

    def scaled(self, factor: int) -> "Size":
        """Both sides times `factor`."""
        return Size(self.width * factor, self.height * factor)

    def shaped(self, aspect: Aspect, step: int = 16) -> "Size":
        """A size of another shape with about as many pixels. Both sides are multiples of `step`; a
        square becomes 3:2 or 2:3."""
        long, short = max(self), min(self)
        if aspect == "square":
            side = math.isqrt(long * short) // step * step
            return Size(side, side)
        if long == short:
            long = short * 3 // 2 // step * step
        return {"landscape": Size(long, short), "portrait": Size(short, long)}.get(aspect, self)

    @property
    def megapixels(self) -> float:
        """Millions of pixels of one frame."""
        return self.width * self.height / 1e6
