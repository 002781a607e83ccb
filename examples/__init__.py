"""Example connectors to copy; see docs/connectors.md."""
