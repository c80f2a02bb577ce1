"""The source of truth: its catalog, reads of its rows at a known snapshot, fences through its log."""
