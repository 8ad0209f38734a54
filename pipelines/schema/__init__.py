"""The data types that all packages share. Nothing here uses a model, a file or the network."""
