"""Frames in and out of video files, through one guarded ffmpeg; PyAV only looks."""
