"""The gateway: REST for other people's systems, and a page to watch."""
