"""Gold: predictions, signals and their outcomes, as Delta tables."""
