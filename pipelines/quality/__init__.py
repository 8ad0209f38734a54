"""Quality checks of frames on the CPU: faults of a chunk, and scores of transitions."""
