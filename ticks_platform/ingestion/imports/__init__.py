"""Import of files with past data: rows go through the loader of live frames, under the lease of repairs.

A file is its own journal: a row's position is where it is in the unpacked file, and the checkpoint, which moves in the
transaction that stores the rows, tells how far the file is loaded.
"""
