"""Edges shared by all stages: Delta tables, Kafka, Spark Connect, continuous queries."""
