"""Connector configurations from the plan, and what the connector needs in the source of truth."""
