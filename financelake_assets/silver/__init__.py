"""Silver: bronze messages parsed, validated and deduplicated into historised Delta tables."""
