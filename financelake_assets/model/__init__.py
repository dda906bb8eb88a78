"""The random forest: features, labels, walk-forward evaluation, training, registry."""
