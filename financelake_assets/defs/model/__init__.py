"""The model in Dagster."""
