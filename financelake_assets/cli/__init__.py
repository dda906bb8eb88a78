"""The command line: ``financelake``. Commands parse, call what lies below, and print."""
