"""Limits of a brief, and what the form says about the time of a run."""

MIN_SECONDS, MAX_SECONDS = 0.25, 600.0
MAX_STEPS = 100
MAX_GUIDANCE = 20.0
MAX_LORA_STRENGTH = 2.0
MAX_REFERENCES = 4
MIN_HOURS, MAX_HOURS = 0.01, 720.0
RANGES = {"seconds": (MIN_SECONDS, MAX_SECONDS), "approval_hours": (MIN_HOURS, MAX_HOURS)}
MINUTES = (
    "Minutes for 4 seconds of video, before anything was measured: demo 0.2 on a CPU, video_fast "
    "1.6 and video_high 3.6 on an RTX 5090, stills 1. The run says it better as it starts."
)
"""A test compares these numbers with the estimates of `planning.estimate`."""
