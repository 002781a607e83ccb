"""Connectors to copy from; see docs/connectors.md."""
