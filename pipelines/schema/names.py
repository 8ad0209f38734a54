"""Names of flows, deployments, pools and queues. They are written here and in infra/deploy only.

The names are public: schedules, editors, webhooks and scripts of others use them. A flow, its file
(with underscores) and its deployments have the same name.
"""

from typing import Final

PRODUCE_CONTENT: Final = "produce-content"
RENDER_VIDEO: Final = "render-video"
DRAFT_STORYBOARD: Final = "draft-storyboard"
CONTENT_CALENDAR: Final = "content-calendar"
PURGE_SCRATCH: Final = "purge-scratch"
BENCHMARK_BACKENDS: Final = "benchmark-backends"
FLOWS: Final = (
    PRODUCE_CONTENT,
    RENDER_VIDEO,
    DRAFT_STORYBOARD,
    CONTENT_CALENDAR,
    PURGE_SCRATCH,
    BENCHMARK_BACKENDS,
)

STUDIO_POOL: Final = "studio"
"""Flows that wait, check and publish."""
GPU_POOL: Final = "rtx-5090"
"""Flows that use the GPU: one run at a time."""
POOLS: Final = (STUDIO_POOL, GPU_POOL)

WARNINGS: Final = "warnings"
"""Key of the artifact that says what stands in for a model or the device of a run."""


def brief_deployment(priority: str) -> str:
    """The deployment for briefs of that priority, as Prefect writes it: FLOW/NAME."""
    return f"{PRODUCE_CONTENT}/{priority}"
