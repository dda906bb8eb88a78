"""Bronze: market messages on Kafka topics, a transient, bounded buffer in front of silver."""
