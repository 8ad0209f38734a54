"""What other programs import of Reelwright: `reelwright.client`, and nothing else."""
