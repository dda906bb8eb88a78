"""Crypto exchanges: their trades, live and by number, and their candles. No key is needed."""
