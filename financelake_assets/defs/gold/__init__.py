"""Gold in Dagster."""
