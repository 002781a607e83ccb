"""From frames to rows: decoding, duplicates, COPY, and what is counted of it.

`decode` makes columns of frames and rejects what cannot be a tick, `tables` says which columns go where, `store` copies
them in, `ledger` counts. Not here: when a batch is committed, and by whom (`loader`).
"""
