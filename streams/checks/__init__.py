"""How drift is found: what a check's answers mean. Decisions only; owners and runs do the reading."""
