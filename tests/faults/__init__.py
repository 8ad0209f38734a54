"""Parts that are killed or stopped at every stage."""
