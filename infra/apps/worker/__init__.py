"""Workers of the pools: what Prefect's process worker does, and that nothing stays wrong."""
