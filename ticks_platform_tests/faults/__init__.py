"""Many faults in a row, selected by a seed; at the end, every event is stored once and the ledger agrees."""
