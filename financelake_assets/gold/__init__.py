"""Gold: predictions, signals and how good they turned out, as Delta tables."""
