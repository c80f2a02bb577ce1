"""What arrives: decoding of Debezium records, their order per key, reduction of a batch."""
