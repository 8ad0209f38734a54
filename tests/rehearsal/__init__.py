"""The studio set rehearsed without a GPU and without the hub: see `__main__`."""
