"""What is wrong with the database, for people."""

from __future__ import annotations

from typing import Any

import psycopg2.errors

from ticks_platform.timescale.failures import in_words, is_of_another_release


class BusyError(Exception):
    """Too many requests wait for the database."""


def trouble(error: BaseException, database: str) -> dict[str, Any]:
    """What is wrong with the database, as the page says it: tone, words, and what to do."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, psycopg2.errors.UndefinedTable | psycopg2.errors.InvalidSchemaName):
        return {
            "tone": "warn",
            "words": "no tables yet",
            "detail": "`ticks dev` creates them within a minute; without it, run the job bring_up",
        }
    if is_of_another_release(error):
        return {"tone": "bad", "words": "of another release", "detail": in_words(error)}
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        detail = f"{first}: grant it, or let TICKS_READER_ROLE name this role and run the job bring_up"
        return {"tone": "bad", "words": "not allowed", "detail": detail}
    if isinstance(error, psycopg2.errors.QueryCanceled):
        return {"tone": "warn", "words": "slow", "detail": f"{first}; trying again"}
    if isinstance(error, BusyError):
        return {"tone": "warn", "words": "busy", "detail": "too many questions wait for their turn; trying again"}
    return {"tone": "bad", "words": "away", "detail": f"{first}; trying again every second"}
