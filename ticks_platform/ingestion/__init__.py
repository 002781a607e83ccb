"""Ingestion: from the frames of a feed to rows that are committed, each once, and accounted for.

`run` starts and stops one feed's ingestion: `feeds.transport` receives, `journal` keeps, `loader` commits. `lease` lets
one owner write at a time. Not here: how providers talk (`feeds`), what a hypertable or a candle is (`timescale`), and
when a run starts (`defs`). Nothing here knows Dagster.
"""
