"""Unit tests of drift."""
