"""Chooses the preset and the model for a request, with the reasons."""
