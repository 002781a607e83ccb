"""The journal: received frames on this machine's disk until the database has them.

Here belongs what knows that a journal is a SQLite file. Not here: what a frame means, and what is in the database.
"""
