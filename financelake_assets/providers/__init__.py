"""Where market data comes from; nothing here knows of Kafka."""
