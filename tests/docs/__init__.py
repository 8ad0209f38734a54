"""The documents: their reference pages, written from the code, and what the tests hold them to."""
