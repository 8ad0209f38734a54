"""The work of every stage, without Prefect and without infrastructure."""
