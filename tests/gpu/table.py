"""The results as people read them: the README's table, other projects' figures, the aims."""

from collections.abc import Iterator
from typing import Any

Results = dict[str, dict[str, Any]]

ANCHORS = (
    ("H100", "SGLang", 47.8),
    ("H100", "LightX2V", 52.5),
    ("5090", "torch's own attention", 162.0),
    ("5090", "SageAttention 3", 94.0),
    ("4090", "torch's own attention", 240.0),
    ("A100", "eager", 260.0),
    ("A100", "compiled", 198.0),
)
"""Published by others, not measured here: card, program, seconds of Wan 2.1 1.3B with 832*480, 81
frames and 50 steps, all stages."""
STOCK_AIM, UPSCALE_AIM, DECODE_AIM, CAP_AIM = 1.5, 6.0, 1.3, 22.0
"""Times as fast as stock diffusers and as RealESRGANer's loop; seconds over the bare decoder's;
GB."""


def report(results: Results) -> str:
    """All tables."""
    parts = [_host(results), _presets(results), _anchor(results), _aims(results), _failed(results)]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))


def _host(results: Results) -> Iterator[str]:
    host = results.get("host", {})
    if "torch" in host:
        card = host.get("card", "CPU: the figures say that the code runs, and nothing about speed")
        yield f"{card}; torch {host['torch']}, diffusers {host.get('diffusers')}"


def _presets(results: Results) -> Iterator[str]:
    yield (
        "| preset | seconds a chunk (denoise + decode) | stock diffusers | ratio "
        "| peak GB allocated / reserved | plan GB (off by) | memory mode | same pixels |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for title, ours, stock in _pairs(results):
        cells = (
            title,
            f"{ours['chunk_s']:.2f} ({ours['denoise_s']:.2f} + {ours['decode_s']:.2f})",
            f"{stock['chunk_s']:.2f}" if "chunk_s" in stock else stock.get("error", "–")[:40],
            f"{stock['chunk_s'] / ours['chunk_s']:.2f}" if "chunk_s" in stock else "–",
            f"{ours.get('allocated_gb', '–')} / {ours.get('reserved_gb', '–')}",
            f"{ours.get('plan_gb', '–')} ({ours.get('off_plan_percent', '–')} %)",
            ours["memory_mode"],
            {True: "yes", False: "no"}.get(stock.get("same_pixels"), "–"),
        )
        yield f"| {' | '.join(cells)} |"


def _pairs(results: Results) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each preset that was made, also compiled: its name, its figures, and those of stock."""
    for stage, note in (("presets", ""), ("compiled", ", compiled")):
        for name, ours in results.get(stage, {}).items():
            if isinstance(ours, dict) and "chunk_s" in ours:
                yield f"`{name}`{note}", ours, results.get("stock", {}).get(name, {})


def _anchor(results: Results) -> Iterator[str]:
    ours = results.get("anchor", {})
    if "chunk_s" not in ours:
        return
    card = results.get("host", {}).get("card", "CPU")
    yield f"832*480, {ours['frames']} frames, {ours['steps']} steps, seconds:"
    yield "| card | program | seconds |"
    yield "|---|---|---|"
    yield f"| {card} | Reelwright, from {ours['measured_steps']} steps | {ours['chunk_s']:.1f} |"
    for name, program, seconds in ANCHORS:
        yield f"| {name} | {program}, published | {seconds:.1f} |"


def aims(results: Results) -> dict[str, tuple[float, float, bool]]:
    """What was aimed at and is known: name → (measured, aim, whether it is reached)."""
    found: dict[str, tuple[float, float, bool]] = {}
    for title, ours, stock in _pairs(results):
        if "chunk_s" in stock and "video_" in title:
            ratio = stock["chunk_s"] / ours["chunk_s"]
            found[f"{title}: times stock"] = (ratio, STOCK_AIM, ratio >= STOCK_AIM)
        if "reserved_gb" in ours:
            peak = ours["reserved_gb"]
            found[f"{title}: GB reserved"] = (peak, CAP_AIM, peak <= CAP_AIM)
    for name, row in results.get("decode", {}).items():
        if isinstance(row, dict) and "ours" in row:
            over = row["ours"]["over_bare"]
            found[f"`{name}`: decode over bare network"] = (over, DECODE_AIM, over <= DECODE_AIM)
    for size, row in results.get("upscale", {}).items():
        if not isinstance(row, dict) or "frame_s" not in row.get("plain", {}):
            continue
        ours = [
            item["frame_s"] for name, item in row.items() if "batch" in name and "frame_s" in item
        ]
        if ours:
            ratio = row["plain"]["frame_s"] / min(ours)
            found[f"upscale {size}: times RealESRGANer's loop"] = (
                ratio,
                UPSCALE_AIM,
                ratio >= UPSCALE_AIM,
            )
    return found


def _aims(results: Results) -> Iterator[str]:
    for name, (measured, aim, reached) in aims(results).items():
        yield f"{'ok  ' if reached else 'MISS'} {name}: {measured:.2f} (aim {aim:g})"


def failures(results: Results) -> dict[tuple[str, str], str]:
    """What failed: (stage, part) → error; the part is empty where a whole stage failed."""
    found: dict[tuple[str, str], str] = {}
    for name, result in results.items():
        if "error" in result:
            found[name, ""] = result["error"]
        for part, row in result.items():
            if isinstance(row, dict) and "error" in row:
                found[name, part] = row["error"]
    return found


def _failed(results: Results) -> Iterator[str]:
    for (name, part), error in failures(results).items():
        yield f"FAIL {name}{', ' if part else ''}{part}: {error}"
    for name, result in results.items():
        if "skipped" in result:
            yield f"--   {name}: {result['skipped']}"
