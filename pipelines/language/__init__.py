"""The language of a brief, and its translation into English, which the language models and most
video models know best."""
