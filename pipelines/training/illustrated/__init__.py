"""The world of the next demo model: pictures of things in painted places."""
