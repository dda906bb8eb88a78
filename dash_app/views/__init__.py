"""The views: each has a skeleton that is sent once, and functions that fill it from a snapshot."""
