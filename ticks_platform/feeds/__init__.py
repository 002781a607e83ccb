"""Feeds: the settings of feeds.yaml, and the connectors that speak the providers' protocols.

Here: the connector interface (`connector`, `events`, `columns`, `history`, `decoding`), the settings of feeds.yaml
(`settings`, `calendars`, `registry`), a folder per provider, and `transport`, which does the I/O for all of them. Not
here: the database, the journal, Dagster. A connector does no I/O and reads no clock.
"""
