"""Compares backends: the same prompts through each, measures, ratings by people, verdicts."""
