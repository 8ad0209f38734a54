"""The recipe of the demo set's video model: its world, its trainings, its scorecard."""
