"""Dagster: assets, checks, sensors, schedules and jobs, one folder for each layer. No lower layer imports Dagster."""
