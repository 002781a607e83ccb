"""Alerts to people. Here: posting to a webhook. Not here: when to alert (`defs`)."""
