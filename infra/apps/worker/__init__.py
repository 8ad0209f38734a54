"""Workers of the pools: Prefect's process worker, extended to repair what a dead worker left."""
