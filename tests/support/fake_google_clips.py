"""Clips that the fake of Google's services gives, made by ffmpeg once for each size and length."""

import subprocess
from functools import cache

_HEIGHTS = {"360p": 360, "720p": 720, "1080p": 1080}


@cache
def clip_of(program: str, resolution: str, aspect: str, seconds: int) -> bytes:
    """An MP4 as Google's models make it: 24 frames a second, with sound. `program` is ffmpeg."""
    short = _HEIGHTS[resolution]
    width, height = (short * 16 // 9, short) if aspect == "16:9" else (short, short * 16 // 9)
    inputs = (
        *("-f", "lavfi", "-i", f"color=c=teal:s={width}x{height}:r=24:d={seconds}"),
        *("-f", "lavfi", "-i", f"sine=f=330:r=48000:d={seconds}"),
    )
    coding = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")
    end = ("-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "pipe:1")
    command = [program, "-v", "error", "-threads", "1", *inputs, *coding, *end]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
