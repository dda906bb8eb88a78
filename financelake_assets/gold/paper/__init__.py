"""The paper portfolio: what the signals would have earned, beside doing nothing and beside luck."""
