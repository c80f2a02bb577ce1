"""Kafka around the workers: topics, schemas, Connect, and the project's own events."""
