"""Bronze in Dagster."""
