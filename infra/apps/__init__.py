"""Programs that people and machines start: commands, gateway, workers, supervisor."""
