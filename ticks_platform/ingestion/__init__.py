"""Ingestion: from a feed's frames to committed rows; each event is stored once and accounted for.

The way of a tick: `run` starts the threads, `feeds.transport` receives frames, `journal` stores them on disk, `loader`
decodes and commits them (`rows`). `lease` ensures one writer per feed. Not here: providers' protocols (`feeds`),
hypertables and candles (`timescale`), and when a run starts (`defs`). Nothing here knows Dagster.
"""
