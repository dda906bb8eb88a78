"""The paper portfolio: what the signals would have earned, beside buy-and-hold and beside random directions."""
