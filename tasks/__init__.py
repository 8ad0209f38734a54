"""Prefect tasks. Each task runs one stage of `pipelines`, reports its progress and stores its
result."""
