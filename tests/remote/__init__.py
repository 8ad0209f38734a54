"""Backends on other machines."""
