"""The command line ``financelake``. Commands parse arguments, call lower layers, and print."""
