"""From frames to rows: decoding, duplicate trades, COPY, and the ledger.

In the order of a batch: `decode` turns frames into columns and rejects what cannot be stored, `duplicate_trades` finds
trades that the provider sent again, `tables` encodes rows for COPY, `store` writes them (`bars` by upsert,
`rejected_events` with their reason), `ledger` counts them. Not here: when a batch is committed, and under which lease
(`loader`).
"""
