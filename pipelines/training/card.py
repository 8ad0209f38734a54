"""The part of the model card that says the scores, made of the scorecard."""

from collections.abc import Mapping
from typing import Any

BEGIN, END = "<!-- scores: make scorecard OPTIONS=--write -->", "<!-- end of scores -->"
GROUPS = ("as in training", "held-out wording", "held-out combination")
TOGETHER = "thing, background and movement"
_COLUMNS = ("thing", "colour", "movement", "background", TOGETHER)
_CONTROLS = {
    "control: another prompt": "the same videos, judged by another prompt",
    "control: empty prompt": "videos of an empty prompt",
    "classifier: true clips": "true clips, judged by the classifier",
    "ceiling: the VAE alone": "true clips through the VAE alone",
}


def check_place(card: str) -> None:
    """Raises ValueError if `card` has no two marks between which scores can stand."""
    if END not in card.partition(BEGIN)[2]:
        raise ValueError(
            f"the model card has no place for the scores; add the lines `{BEGIN}` and `{END}`"
        )


def with_scores(card: str, scores: Mapping[str, Any]) -> str:
    """`card` with the scores between its two marks. Raises ValueError if it has no such marks."""
    check_place(card)
    before, _, rest = card.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{_in_words(scores)}\n{END}{after}"


def _in_words(scores: Mapping[str, Any]) -> str:
    head = [f"| share right of | {' | '.join(_COLUMNS)} |", "|---" * (len(_COLUMNS) + 1) + "|"]
    lengths = [name for name in scores if name.endswith(" frames")]
    rows = [row for name in lengths for row in _rows(name, scores[name], scores["prompts"])]
    return "\n".join([*head, *rows, "", _psnr(lengths[-1], scores), "", _joins(scores)])


def _rows(length: str, scores: Mapping[str, Any], prompts: int) -> list[str]:
    share = prompts // len(GROUPS)
    names = {"all": f"{prompts} prompts"} | {each: f"{each} ({share})" for each in GROUPS}
    return [
        f"| {length}: {title} | {' | '.join(_number(scores[name][c]) for c in _COLUMNS)} |"
        for name, title in (names | _CONTROLS).items()
    ]


def _psnr(length: str, scores: Mapping[str, Any]) -> str:
    found = scores[length]["psnr"]
    return (
        f"True clips through the VAE alone, {length}: PSNR {found['first frames']} dB in the "
        f"first frames, {found['other frames']} dB in the others."
    )


def _joins(scores: Mapping[str, Any]) -> str:
    found = scores["continuation"]
    return (
        f"Continuation, {found['joins']} joins, each chunk from the last raw frame of the one "
        f"before. Where the thing is whole on both sides of a join "
        f"({found['joins_with_the_thing_whole']} joins), its step is {found['median_jump']} px at "
        f"the median and above 4 px in {_percent(found['share_above_4_px'])} of them; the usual "
        f"step of these films is {found['median_step_elsewhere']} px, the true motion "
        f"{found['true_motion']} px. In the last chunk the background is right in "
        f"{_percent(found['background_in_last_chunk'])} of the films, and the thing, where it is "
        f"whole in all of the chunk ({found['last_chunks_with_the_thing_whole']} films), in "
        f"{_percent(found['thing_in_last_chunk'])}. A join whose seam score says that it jumps is "
        f"made again, as in the product: that happened to "
        f"{_percent(found['first_takes_made_again'])} of the first takes (median score "
        f"{found['first_takes_median_seam']}); {found['dissolved']} of the joins had to be "
        "dissolved."
    )


def _number(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
