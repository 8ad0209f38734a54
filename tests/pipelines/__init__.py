"""The work itself, without Prefect."""
