"""Unit tests of repairs."""
