"""Errors of the database that nobody expected, in a command's words."""

from __future__ import annotations

import psycopg2

from ticks_platform.timescale import failures
from ticks_platform.timescale.database import Database


def in_words(error: Exception) -> str | None:
    """What happened and what to do, if the database raised it: it went away, or refused a statement."""
    if not isinstance(error, psycopg2.Error):
        return None
    return f"{Database.from_environment().description} cannot be used: {failures.in_words(error)}"
