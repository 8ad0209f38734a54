"""Limits of a brief, and what the form says about the time of a run."""

MIN_SECONDS, MAX_SECONDS = 0.25, 600.0
MAX_STEPS = 100
MAX_GUIDANCE = 20.0
MAX_LORA_STRENGTH = 2.0
MAX_REFERENCES = 4
MIN_HOURS, MAX_HOURS = 0.01, 720.0
RANGES = {"seconds": (MIN_SECONDS, MAX_SECONDS), "approval_hours": (MIN_HOURS, MAX_HOURS)}
MAX_FLOW_SHIFT = 30.0
FORM_RANGES = {
    "steps": (-1, MAX_STEPS),
    "guidance": (-1, MAX_GUIDANCE),
    "flow_shift": (-1, MAX_FLOW_SHIFT),
    "lora_strength": (-1, MAX_LORA_STRENGTH),
}
"""Least and largest values that the form takes; -1 stands for the preset's. What lies between -1
and the first allowed value is refused by the flow."""
MINUTES = (
    "Minutes for 4 seconds of video, before anything was measured: demo 0.2 on a CPU, video_fast "
    "1.6 and video_high 3.6 on an RTX 5090, stills 1. The run says it better as it starts."
)
"""A test compares these numbers with the estimates of `planning.estimate`."""
