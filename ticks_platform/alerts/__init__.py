"""Alerts to people. Here: posting to a webhook, and what is still to be told. Not here: what is wrong (`monitoring`),
and when that is looked at (`defs`)."""
