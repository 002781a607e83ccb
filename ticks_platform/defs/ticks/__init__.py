"""The tables that ingestion writes, and the names of their symbols. The runs that write them are in `ingestion`."""
