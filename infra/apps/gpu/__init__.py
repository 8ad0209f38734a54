"""`reelwright doctor --gpu`: what this machine's GPU can do with Reelwright, measured on it."""
