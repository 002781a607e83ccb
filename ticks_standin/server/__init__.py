"""The server: connections, what is sent on them and when, faults on command, and the account of what was sent.

Not here: what an event looks like, or what a client is answered (``twelve_data``, ``polygon``).
"""
