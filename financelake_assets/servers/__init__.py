"""The servers that a lake runs: Kafka, Spark, Dagster, and the Java and jars that they need."""
