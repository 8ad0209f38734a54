"""Tiny checkpoints of every local model: real classes, real layout, random weights, 1 to 3 MB.

`BUILDERS[name](folder)` writes one in about a tenth of a CPU-second; its docstring says what the
real repository is and what its pipeline demands. What they make is noise, but in exact frames.
LoRA files for the Wan ones: `tests.tiny.lora`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.tiny.animate import write_wan_animate
from tests.tiny.animatediff import write_animatediff
from tests.tiny.ltx2 import write_ltx2
from tests.tiny.wan import (
    write_wan_i2v_a14b,
    write_wan_t2v,
    write_wan_t2v_a14b,
    write_wan_ti2v,
    write_wan_vace,
)

BUILDERS: Mapping[str, Callable[[Path], None]] = {
    "wan_t2v": write_wan_t2v,
    "wan_vace": write_wan_vace,
    "wan_ti2v": write_wan_ti2v,
    "wan_t2v_a14b": write_wan_t2v_a14b,
    "wan_i2v_a14b": write_wan_i2v_a14b,
    "wan_animate": write_wan_animate,
    "animatediff": write_animatediff,
    "ltx2": write_ltx2,
}
