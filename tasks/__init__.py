"""Prefect knobs around one stage each: retries, timeouts, progress."""
