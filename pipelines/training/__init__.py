"""The recipe of the demo set's video model: its world, its three trainings, its scorecard."""
