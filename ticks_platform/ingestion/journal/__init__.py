"""The journal: received frames on this machine's disk until they are committed in the database.

Here: everything that knows that a journal is a SQLite file. Not here: what a frame means, and what the database holds.
"""
