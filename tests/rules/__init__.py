"""Rules of the code and of the tests."""
