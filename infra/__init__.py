"""The outside world: adapters below the tasks, apps above the flows."""
