"""What the asset checks ask: the SQL is in ``sql/queries/checks/``, the verdicts are the checks' own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import AsIs

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import judged as judged_candles
from ticks_platform.timescale.candles.candles import ONE_MINUTE, Candle

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class Finding(NamedTuple):
    """How many rows were judged, how many of them offend, and up to ten of those."""

    judged: int
    offending: int
    examples: list[dict[str, Any]]


def find(cursor: Cursor, file: str, table: str, parameters: Mapping[str, Any]) -> Finding:
    """What a query under sql/ finds.

    `{candle}` in it stands for the table, `{materialized}` for what is stored of it.
    """
    query = sql_files.compose(file, candle=sql.Identifier(table), materialized=materialized(cursor, table))
    cursor.execute(query, parameters)
    return Finding(*(cursor.fetchone() or (0, 0, [])))


def find_new(cursor: Cursor, file: str, table: str, parameters: Mapping[str, Any], *, window: timedelta) -> Finding:
    """As `find`, of candles of a minute; hours that were found right before, and are the same, are counted only."""
    known = judged_candles.find(cursor, file, window=window)
    cursor.execute("SELECT now() + INTERVAL '1 year'")
    (end,) = cursor.fetchone() or (known.since,)
    part = judged_candles.part(materialized(cursor, table), known.left([(known.since, end)]))
    cursor.execute(sql_files.compose(file, candle=part, materialized=part), parameters)
    found = Finding(*(cursor.fetchone() or (0, 0, [])))
    if not found.offending:
        judged_candles.note(cursor, known)
    return found._replace(judged=found.judged + known.known)


def materialized(cursor: Cursor, table: str) -> sql.Composable:
    """The table that holds what is materialized of a candle; the table or candle itself where nothing is.

    Reading a candle as such makes those that are not materialized of their ticks, each time.
    """
    cursor.execute(sql_files.read("queries/candles/materialized.sql"), {"candle": table})
    name, until = cursor.fetchone() or (None, None)
    return sql.Identifier(table) if until is None else sql.SQL(name)


def impossible_prices(cursor: Cursor, *, window: timedelta) -> tuple[int, int]:
    """How many ticks of the last `window` may form a price, and how many have an impossible one; reads the new ones."""
    cursor.execute(sql_files.read("queries/checks/new_prices.sql"), {"window": window})
    judged, offending = cursor.fetchone() or (0, 0)
    return judged, offending


class Jumps(NamedTuple):
    """Returns from one close to the next that are too large to be believed."""

    judged: int
    jumps: int
    examples: list[dict[str, Any]]
    """The worst, of both kinds."""
    changed_units: int = 0
    """Returns by a factor of 100 in markets that quote both pounds and pence, or the like."""


def jumps(cursor: Cursor, *, judged: timedelta, window: timedelta, enough: int, limit: float) -> Jumps:
    """The jumps of the last `judged`, by the spread of the last `window`, of symbols with `enough` returns in it.

    `limit` is a robust z-score.
    """
    candle = AsIs(materialized(cursor, ONE_MINUTE.name).as_string(cursor))
    parameters = {"judged": judged, "window": window, "enough": enough, "limit": limit, "candle": candle}
    cursor.execute(sql_files.read("queries/checks/prices_do_not_jump.sql"), parameters)
    return Jumps(*(cursor.fetchone() or (0, 0, [])))


class Freshness(NamedTuple):
    """When a feed's last tick arrived; None when none was ever loaded."""

    feed: str
    enabled: bool
    last_received_at: datetime | None
    age_seconds: float | None
    received_for_seconds: float | None
    """Since its first frame, whatever that was; None if there was none."""


def freshness(cursor: Cursor, feeds: Sequence[str]) -> list[Freshness]:
    """When the last tick of each of these feeds arrived; feeds that the database has never seen are left out."""
    cursor.execute(sql_files.read("queries/checks/ticks_are_fresh.sql"), {"feeds": list(feeds)})
    return [Freshness(*row) for row in cursor.fetchall()]


class Channels(NamedTuple):
    """The state of the channels that a feed has subscribed to."""

    feed: str
    subscribed: int
    failed: int
    silent: int
    examples: list[dict[str, Any]]
    """The newest that do not stream: channel, state, since, detail."""
    refused: str | None
    """Why the provider refuses the feed as a whole, if it does."""
    away: str | None
    """Why the feed is not connected, if it is not."""


def channels(cursor: Cursor, feeds: Sequence[str]) -> list[Channels]:
    """The channels of these feeds; feeds that are switched off, or have never connected, are left out."""
    cursor.execute(sql_files.read("queries/checks/channels_are_streaming.sql"), {"feeds": list(feeds)})
    return [Channels(*row) for row in cursor.fetchall()]


def clock_troubles(cursor: Cursor, feeds: Sequence[str]) -> dict[str, str]:
    """What is wrong with the clocks of the machines that ingest these feeds, by feed."""
    cursor.execute(sql_files.read("queries/checks/clocks_are_right.sql"), {"feeds": list(feeds)})
    return dict(cursor.fetchall())


class UnknownCondition(NamedTuple):
    """A condition without a rule, with the number of the ticks that have it."""

    feed: str
    condition: int
    ticks: int
    first_seen: datetime


def unknown_conditions(cursor: Cursor, feeds: Sequence[str], *, window: timedelta) -> list[UnknownCondition]:
    """The conditions without a rule among the ticks of these feeds in the last `window`."""
    parameters = {"feeds": list(feeds), "window": window}
    cursor.execute(sql_files.read("queries/checks/conditions_are_known.sql"), parameters)
    return [UnknownCondition(*row) for row in cursor.fetchall()]


class Session(NamedTuple):
    """A time in which a symbol is traded; it is judged, or says what is usual."""

    symbol: str
    judged: bool
    begin: datetime
    end: datetime


class Completeness(NamedTuple):
    """Minutes in session of a symbol, and those of them with a candle."""

    symbol: str
    expected: float
    present: float
    usually_expected: float
    usually_present: float


def enabled_feeds(cursor: Cursor, feeds: Sequence[str]) -> set[str]:
    """Those of these feeds that are switched on."""
    cursor.execute(sql_files.read("queries/checks/enabled_feeds.sql"), {"feeds": list(feeds)})
    return {feed for (feed,) in cursor.fetchall()}


def completeness(cursor: Cursor, feeds: Collection[str], sessions: Sequence[Session]) -> list[Completeness]:
    """How many minutes of these sessions have a candle, by symbol; minutes in gaps of the feeds are left out."""
    if not sessions:
        return []
    cursor.execute(
        sql_files.read("queries/checks/session_is_complete.sql"),
        {
            "candle": AsIs(materialized(cursor, ONE_MINUTE.name).as_string(cursor)),
            "feeds": list(feeds),
            "symbols": [session.symbol for session in sessions],
            "judged": [session.judged for session in sessions],
            "begins": [session.begin for session in sessions],
            "ends": [session.end for session in sessions],
            "begin": min(session.begin for session in sessions),
            "end": max(session.end for session in sessions),
        },
    )
    return [Completeness(*row) for row in cursor.fetchall()]


class AgainstBars(NamedTuple):
    """Our candles of a minute beside the provider's bars."""

    minutes: int
    differing: int
    share: float | None
    """The part of the bars' volume that our ticks have; None where there are no volumes."""
    examples: list[dict[str, Any]]


def against_bars(
    cursor: Cursor, tolerances: Mapping[str, float], *, window: timedelta, settling: timedelta, examples: int
) -> AgainstBars:
    """Compare the candles of the last `window`, up to `settling` ago; `tolerances` are relative, by feed.

    The feeds are those that make candles. At most so many `examples` are returned.
    """
    cursor.execute(
        sql_files.read("queries/checks/candles_equal_bars.sql"),
        {
            "candle": AsIs(_judged_minutes(cursor, settling).as_string(cursor)),
            "feeds": list(tolerances),
            "tolerances": list(tolerances.values()),
            "window": window,
            "settling": settling,
            "examples": examples,
        },
    )
    return AgainstBars(*(cursor.fetchone() or (0, 0, None, [])))


def _judged_minutes(cursor: Cursor, settling: timedelta) -> sql.Composable:
    """What is materialized of the minutes, or the candle itself where that does not reach up to what is judged."""
    cursor.execute(sql_files.read("queries/candles/materialized.sql"), {"candle": ONE_MINUTE.name})
    _, until = cursor.fetchone() or (None, None)
    cursor.execute("SELECT %s::timestamptz >= now() - %s", (until, settling))
    return materialized(cursor, ONE_MINUTE.name) if cursor.fetchone() == (True,) else sql.Identifier(ONE_MINUTE.name)


class Refreshing(NamedTuple):
    """A refresh policy of a candle, how its last run went, and how far the candle is."""

    job_id: int | None
    """None when the candle has no policy."""
    scheduled: bool | None
    interval_seconds: float | None
    failed: bool
    error: str | None
    """The newest error that the database remembers, in its own words; it may be past."""
    success_age_seconds: float | None
    lag_seconds: float | None
    """From the time up to which the candle is materialized, to now."""
    behind: bool
    """Whether ticks are not materialized though the policy should have refreshed them."""


def refreshing(cursor: Cursor, candle: Candle, *, slack: timedelta) -> list[Refreshing]:
    """The state of a candle's refresh policies; empty when there is no such candle."""
    cursor.execute(
        sql_files.read("queries/checks/refreshes_keep_up.sql"),
        {"candle": candle.name, "width": candle.bucket, "slack": slack},
    )
    return [Refreshing(*row) for row in cursor.fetchall()]
