"""FinanceLake: market feeds in, signals you can trust out.

The folders follow the data: ``providers`` → ``bronze`` (Kafka) → ``silver`` (Delta) → ``model`` → ``gold`` (Delta).
``defs`` has everything of Dagster, and ``definitions`` loads it as one code location. ``cli`` is the command
``financelake``, which runs the whole lake on a laptop. See docs/architecture.md.
"""
