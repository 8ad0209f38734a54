"""The comparison with stock diffusers, on a tiny checkpoint: the same clip, timed by stages."""

from pipelines.backends.wan.options import WanOptions
from pipelines.schema.sizes import Size
from tests.backends.wan_models import TinyModels, tiny_models
from tests.bench.wan import Case, compare

__all__ = ["tiny_models"]  # a fixture


def test_our_clip_is_that_of_the_stock_pipeline_and_its_stages_are_timed(
    tiny_models: TinyModels,
) -> None:
    options = WanOptions(steps=2, guidance=4.0, flow_shift=3.0)
    found = compare(Case(tiny_models["t2v-14B"], Size(32, 32), 5, options, rounds=1))
    assert set(found["ours"]) == {"denoise", "decode", "frames"}
    assert all(seconds > 0 for seconds in (found["stock_seconds"], *found["ours"].values()))
    assert found["ratio"] > 0
    # Both round to 8 bits, from numbers that were scaled in another order.
    assert found["largest_difference"] <= 1
