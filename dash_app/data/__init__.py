"""The page's data, from snapshots of the lake's tables."""
