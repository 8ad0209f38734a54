"""Prefect's side of the stages, on real servers."""
