"""What the real connector sends where the ordering rule relies on it (docs/debezium.md)."""
