"""What an error of the database means: the server is away, or the rows are at fault, or it is not clear.

The classes of SQLSTATE: PostgreSQL's documentation, appendix A.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING

import psycopg2

from ticks_platform.timescale.database import DatabaseUnavailableError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812

UNSTORABLE = (AttributeError, OverflowError, TypeError, ValueError, struct.error)
"""Errors that encoding raises if an event holds what its column cannot; a UnicodeError is a ValueError."""

FAILURES = (psycopg2.Error, DatabaseUnavailableError, UnicodeError, MemoryError)
"""What a transaction raises if it is not committed, or if that is unknown."""


class Meaning(enum.Enum):
    """What has to be done about an error."""

    AWAY = "the server cannot work now"
    """Whatever it is given: the same is tried again."""
    DATA = "the rows are at fault"
    UNCLEAR = "too much at once, a table that takes nothing, or what nobody thought of"
    """Less is tried; what fails alone, where others pass, is at fault."""


_AWAY_CLASSES = (
    "08",  # connection exception
    "28",  # invalid authorization
    "3D",  # invalid catalog name: the database does not exist
    "40",  # serialization failure, deadlock
    "53",  # insufficient resources
    "57",  # operator intervention
    "58",  # system error
    "F0",  # configuration file error
)
_AWAY_CODES = (
    "25006",  # read-only transaction: a standby
    "25P03",  # idle in transaction for too long
    "55P03",  # lock not available
)
_UNCLEAR_CODES = (
    "53200",  # out of memory
    "53400",  # configuration limit exceeded: temporary files, decompressed rows
    "54001",  # statement too complex
    "57014",  # canceled: statement_timeout, or somebody
)
_DATA_CLASSES = (
    "22",  # data exception
    "23",  # integrity constraint violation
    "44",  # WITH CHECK OPTION violation
    "54",  # program limit exceeded: an index row that is too large
    "P0",  # raised by a function or trigger
)

_STATE_CLASSES = ("0A", "25", "26", "34", "3F", "42", "53", "55", "57")
"""Classes of unclear errors that most often tell of the state of the server or of the schema."""

_TOO_MUCH_CODES = ("25P04", "53200", "53400", "54001", "57014")


def meaning(error: BaseException, connection: Connection | None = None) -> Meaning:
    """What an error means; `connection` is the one that raised it."""
    if isinstance(error, DatabaseUnavailableError):
        return Meaning.AWAY
    if isinstance(error, UNSTORABLE):
        return Meaning.DATA
    if not isinstance(error, psycopg2.Error):
        return Meaning.UNCLEAR
    code = error.pgcode
    if code is None:
        return _without_code(error, connection)
    if code in _UNCLEAR_CODES:
        return Meaning.UNCLEAR
    if code in _AWAY_CODES or code.startswith(_AWAY_CLASSES):
        return Meaning.AWAY
    return Meaning.DATA if code.startswith(_DATA_CLASSES) else Meaning.UNCLEAR


def _without_code(error: psycopg2.Error, connection: Connection | None) -> Meaning:
    """The server did not answer, or psycopg2 refused to send."""
    if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        return Meaning.AWAY
    if connection is not None and connection.closed:
        return Meaning.AWAY
    return Meaning.DATA if isinstance(error, (psycopg2.DataError, psycopg2.ProgrammingError)) else Meaning.UNCLEAR


def is_too_much(error: BaseException) -> bool:
    """Whether an error tells of a limit on time or memory, which less at once may not reach."""
    return isinstance(error, MemoryError) or getattr(error, "pgcode", None) in _TOO_MUCH_CODES


def is_of_state(error: BaseException) -> bool:
    """Whether an unclear error most often tells of the server's or the schema's state, and not of a row."""
    return isinstance(error, MemoryError) or (getattr(error, "pgcode", None) or "").startswith(_STATE_CLASSES)


_OF_ANOTHER_RELEASE = (
    "3F000",  # invalid schema name
    "42703",  # undefined column
    "42704",  # undefined object
    "42883",  # undefined function
    "42P01",  # undefined table
)


def is_of_another_release(error: BaseException) -> bool:
    """Whether an error tells that the database's tables or functions are not those of this program's release."""
    return getattr(error, "pgcode", None) in _OF_ANOTHER_RELEASE


def in_words(error: BaseException) -> str:
    """An error of the database for people, in a line, with what to do where its tables are of another release."""
    said = " ".join(str(error).split()) or type(error).__name__
    if not is_of_another_release(error):
        return said
    return (
        f"{first_line(error)}: its tables are of another release than this program, or were changed by hand. The job "
        "bring_up brings them up to date, and so does a start of `ticks ingest`"
    )


def first_line(error: BaseException) -> str:
    """The message of an error, without its details; of an error that is not the database's, with its kind."""
    text = str(error).strip().partition("\n")[0]
    expected = isinstance(error, (psycopg2.Error, *UNSTORABLE))
    return text if expected and text else f"{type(error).__name__}: {text}".removesuffix(": ")
