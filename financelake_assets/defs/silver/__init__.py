"""Silver in Dagster."""
