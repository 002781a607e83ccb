"""Where a candle comes from: the answer of `explain_candle`, and the command that asks for it."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ticks_platform.errors import ActionRequiredError
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE, Candle

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

Answer = dict[str, Any]
"""What `explain_candle` returns: docs/reference/sql.md has its keys."""

WIDTHS = {"1m": ONE_MINUTE, "1h": ONE_HOUR, "1d": ONE_DAY}
"""How the command calls the candles."""

_NEAREST = 3


class NoAnswerError(ActionRequiredError):
    """There is nothing to explain with this name, or in this database; the message says what to do."""


def explain(cursor: Cursor, symbol: str, at: datetime, candle: Candle = ONE_MINUTE) -> Answer:
    """Explain the candle of a symbol whose bucket holds this time.

    Raises NoAnswerError for a symbol that the database does not know, and where the function is not created yet.
    """
    cursor.execute("SELECT to_regproc('explain_candle') IS NOT NULL")
    if cursor.fetchone() != (True,):
        raise NoAnswerError(
            "this database has no function explain_candle yet: `ticks dev`, or Dagster's job bring_up, creates it "
            "along with the candles"
        )
    cursor.execute("SELECT explain_candle(%s, %s, %s)", (symbol, at, candle.bucket))
    (answer,) = cursor.fetchone() or ({},)
    if answer["candle"] is None and answer["recomputed"] is None:
        _check_symbol(cursor, symbol, at)
    return dict(answer)


def _check_symbol(cursor: Cursor, symbol: str, at: datetime) -> None:
    cursor.execute(sql_files.read("queries/candles/known_symbols.sql"), {"symbol": symbol, "at": at})
    known = [name for (name,) in cursor.fetchall()]
    if symbol in known:
        return
    near = nearest(symbol, known)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise NoAnswerError(f"no feed streams {symbol!r}, and there are no ticks of it{hint}")


def nearest(symbol: str, known: Sequence[str]) -> list[str]:
    """Up to three of the known symbols that may have been meant, the likeliest first."""
    wanted = symbol.casefold()
    alike = [name for name in known if name.casefold() == wanted]
    listings = [name for name in known if wanted and name.casefold().startswith((f"{wanted}:", f"{wanted}/"))]
    similar = difflib.get_close_matches(symbol.upper(), known, n=_NEAREST)
    return list(dict.fromkeys([*alike, *listings, *similar]))[:_NEAREST]


def command(symbol: str, bucket: datetime, candle: Candle) -> str:
    """The command that explains a candle, safe to paste into a shell.

    A symbol is whatever a provider sends. One with characters that a terminal does not show as they are gives no
    command, but a hint at the function.
    """
    if not symbol.isprintable():
        return "call explain_candle(symbol, bucket): the symbol has characters that a terminal does not print"
    every = next(name for name, other in WIDTHS.items() if other is candle)
    at = f"{bucket.astimezone(timezone.utc):%Y-%m-%dT%H:%MZ}"
    # A name that begins with a dash would be taken for an option.
    name = f"-- {shlex.quote(symbol)}" if symbol.startswith("-") else shlex.quote(symbol)
    options = "" if candle is ONE_MINUTE else f"--every {every} "
    return f"ticks explain {options}{name} {at}"


def parse_time(text: str) -> tuple[datetime, bool]:
    """A time in ISO 8601, in UTC, and whether it names its zone; without one, UTC is meant. Raises ValueError."""
    # Python 3.10 does not know the letter.
    at = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
    if at.tzinfo is None:
        return at.replace(tzinfo=timezone.utc), False
    return at.astimezone(timezone.utc), True
