"""What several tests use: servers, films, fakes."""
