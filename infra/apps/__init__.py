"""Programs that people and machines start: the command line for now."""
