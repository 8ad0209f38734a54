"""The whole studio on one machine, and what a studio on many machines needs to be set up."""
