"""Runs: one validation of one table in one replica, from the first fence to the last answer."""
