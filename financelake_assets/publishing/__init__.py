"""Signals and predictions out to Kafka: each row of the two gold tables once, on the topics of their names."""
