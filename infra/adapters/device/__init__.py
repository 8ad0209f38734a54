"""The device of this machine: which one it is, who has it, and the models that are loaded on it."""
