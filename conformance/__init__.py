"""Our connectors and the providers' own clients in the same trouble, side by side: see conformance/README.md."""
