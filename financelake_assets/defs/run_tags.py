"""Tags of runs: their priority in Dagster's queue."""

BEHIND_OTHERS = {"dagster/priority": "-1", "dagster/max_runtime": "900"}
"""For checks and surveys: they wait for runs that bring new data, and are stopped if they hang."""

UNHURRIED = {"dagster/max_runtime": str(7 * 86_400)}
"""For searches, which take as long as their trials do."""

OPERATORS = {"dagster/priority": "10"}
"""For runs that an operator starts: they go before other queued runs."""
