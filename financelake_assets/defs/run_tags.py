"""Tags of runs: their priority in Dagster's queue."""

BEHIND_OTHERS = {"dagster/priority": "-1", "dagster/max_runtime": "900"}
"""Looking at what is there waits for what brings something new, and is ended when it hangs."""

OPERATORS = {"dagster/priority": "10"}
"""What an operator asks for goes before what waits in the queue."""
