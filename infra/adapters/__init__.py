"""Adapters to the outside world: settings, object store, weights, embedded servers."""
