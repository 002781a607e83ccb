"""Compares our connectors with the providers' own clients under the same faults: see conformance/README.md."""
