"""Queries on a lake: SQL, tables at a version, new rows. Read-only, without Spark and without a running lake."""
