"""Real-ESRGAN, streamed: decode, network, encode, one frame in memory at a time."""
