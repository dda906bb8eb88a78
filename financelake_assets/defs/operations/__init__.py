"""What keeps the lake well, in Dagster: alerts, maintenance, progress, and the operator's jobs."""
