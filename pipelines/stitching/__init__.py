"""Joins clips into one film: crossfades are rendered, everything else is copied."""
