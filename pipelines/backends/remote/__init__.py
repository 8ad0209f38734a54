"""Backends on other machines: what they share. The network itself is in `infra/adapters`."""
