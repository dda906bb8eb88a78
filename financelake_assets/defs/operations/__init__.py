"""Operation of the lake in Dagster: alerts, maintenance, progress, and the operator's jobs."""
