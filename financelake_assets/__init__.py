"""FinanceLake: market feeds in, signals you can trust out.

The folders follow the data: ``providers`` → ``bronze`` (Kafka) → ``silver`` (Delta) → ``model`` →
``gold`` (Delta). ``definitions`` assembles them into one Dagster code location; ``runtime`` runs the
whole lake on a laptop.
"""
