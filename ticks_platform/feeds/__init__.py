"""Feeds: what is read from feeds.yaml, and the connectors that speak the providers' protocols.

Here belong the connector interface (`connector`, `events`, `columns`, `history`), the settings of feeds.yaml
(`settings`, `calendars`, `registry`), a folder per provider, and `transport`, which does the I/O for all of them. Not
here: anything about the database, the journal or Dagster. A connector does no I/O and looks at no clock.
"""
