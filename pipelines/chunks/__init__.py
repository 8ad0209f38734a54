"""One chunk: its inputs, its takes and its files."""
