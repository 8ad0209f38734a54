"""Adapters, commands, workers, backups, deployments."""
