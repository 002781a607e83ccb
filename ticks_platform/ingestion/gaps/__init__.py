"""Coverage: when each symbol was being received. Gaps: when it was not, although data could have been sent.

`coverage` follows the connections, `coverage_notes` stores its changes on this machine's disk until the database has
them, `gaps` computes gaps from coverage. Not here: the repair of gaps (`repair`).
"""
