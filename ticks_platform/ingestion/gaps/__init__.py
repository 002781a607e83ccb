"""Coverage, when each symbol was being received, and gaps, when it was not though data could have been sent.

`coverage` follows the connections, `coverage_notes` keeps its changes on this machine's disk until the database has
them, `gaps` computes what is missing. Not here: how a gap is repaired (`repair`).
"""
