"""What a replica must hold: entries, their tokens, the version table."""
