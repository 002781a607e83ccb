"""The database: how it is reached, the SQL files, COPY, candles and policies.

Not here: where rows come from (`ingestion`), and when something is refreshed or checked (`defs`). Nothing here knows
Dagster, and no DDL is here: that is in ``sql/``.
"""
