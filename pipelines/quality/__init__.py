"""Judging frames on the CPU: faults of a chunk, and how well chunks meet."""
