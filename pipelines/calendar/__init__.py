"""The content calendar: which briefs are due, without Prefect and without a clock of its own."""
