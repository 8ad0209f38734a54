"""The message catalogs, and what they must hold."""
