"""Makes shots from a brief: code fixes their number and camera, a small LLM writes the words."""
