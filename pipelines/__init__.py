"""The work itself, stage by stage, without Prefect and without infrastructure."""
