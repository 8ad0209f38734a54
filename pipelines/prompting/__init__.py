"""From a brief to shots: code fixes their number and camera, a small LLM writes the words."""
