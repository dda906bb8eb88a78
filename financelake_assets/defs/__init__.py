"""Dagster: assets, checks, sensors, schedules and jobs, one folder a layer. Nothing below imports Dagster."""
