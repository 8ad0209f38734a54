"""Seconds to shots to chunks, and what the run will cost, before any model loads."""
