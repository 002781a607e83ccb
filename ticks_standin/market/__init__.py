"""The synthetic market: instruments, prices, events, bars made of them, and the history of all.

Without I/O. Not here: how a provider writes an event (``twelve_data``, ``polygon``), or who is sent it (``server``).
"""
