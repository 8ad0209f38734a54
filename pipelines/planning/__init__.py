"""Plans the shots and chunks of a video, and estimates its cost, before a model loads."""
