"""Model files on disk: which ones a set needs, whether each is the one it claims to be."""
