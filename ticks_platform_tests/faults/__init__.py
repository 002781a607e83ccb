"""Many faults in a row, chosen by a seed, and at the end a count: every event once, and the ledger says the same."""
