"""What the page shows, from snapshots of the lake's tables."""
