"""Tags of runs: their priority in Dagster's queue."""

BEHIND_OTHERS = {"dagster/priority": "-1", "dagster/max_runtime": "900"}
"""For checks and surveys: they wait for runs that bring new data, and are stopped if they hang."""

OPERATORS = {"dagster/priority": "10"}
"""For runs that an operator starts: they go before other queued runs."""
