"""The suite: real parts, any order, in parallel."""
