"""Frames and sounds in files."""
