"""What drives the lake: sensors on Kafka offsets and schedules, thin shells around pure decisions."""
