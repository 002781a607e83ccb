"""What the page asks of the database: one statement at a time, on one connection that cannot write."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2
from psycopg2 import sql

from ticks_platform.ingestion import status
from ticks_platform.live.series import LENGTH, Key
from ticks_platform.masking import mask
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import explanation, explanation_text
from ticks_platform.timescale.database import Database, SessionConnection

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

STATEMENT_SECONDS = 5.0
"""No statement of the page takes longer: in the embedded database, all others wait for it."""

GAPS = 300
"""Gaps of a symbol that are shown at most, the newest."""

Parts = dict[str, list[Any]]
"""The contents of a statement's rows, by the name of their part."""


class Wanted(NamedTuple):
    """What the next statement has to bring."""

    feeds: Sequence[str]
    tails: Mapping[Key, int]
    """Series, each with the bucket since which its candles are asked for."""
    gaps_since: Mapping[str, float]
    """Symbols whose gaps are asked for, each since a time."""
    quotes: Sequence[str]
    """Symbols whose newest price is asked for."""
    open_gaps: bool
    """Whether open gaps are asked for."""
    rejected: bool
    """Whether rejected events are asked for."""


class Answer(NamedTuple):
    """What a statement brought."""

    parts: Parts
    seconds: float
    """How long it took, waiting for its turn included."""


class Reader:
    """A connection whose transactions are read only. For one thread at a time; it is opened when it is needed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.queries = 0
        """Statements of the page so far, without those that open a connection."""
        self._connection: SessionConnection | None = None
        self._ahead = 0.0

    def now(self) -> float:
        """The time by the database's clock, as its last answer tells: that of this machine may be wrong."""
        return time.time() + self._ahead

    def close(self) -> None:
        """Close the connection; the next question opens another one."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def poll(self, wanted: Wanted) -> Answer:
        """Feeds, the newest candles, and now and then the rest, in one statement."""
        feeds = sql.Literal(list(wanted.feeds))
        status = sql_files.compose("queries/feeds/status.sql", feeds=feeds)
        statements: list[sql.Composable] = [
            sql_files.compose("queries/live/now.sql"),
            sql_files.compose("queries/live/feeds.sql", status=status),
        ]
        for interval in {key.interval: None for key in wanted.tails}:
            tails = {key: since for key, since in wanted.tails.items() if key.interval == interval}
            statements.append(
                sql_files.compose(
                    "queries/live/tail.sql",
                    interval=sql.Literal(interval),
                    candle=sql.Identifier(next(iter(tails)).candle.name),
                    symbols=sql.Literal([key.symbol for key in tails]),
                    since=sql.Literal(min(tails.values())),
                )
            )
        if wanted.gaps_since:
            statements.append(_gaps(list(wanted.gaps_since), min(wanted.gaps_since.values()), self.now()))
        if wanted.quotes:
            quotes = sql.Literal(list(wanted.quotes))
            statements.append(sql_files.compose("queries/live/quotes.sql", symbols=quotes))
        if wanted.open_gaps:
            statements.append(sql_files.compose("queries/live/open_gaps.sql", feeds=feeds))
        if wanted.rejected:
            statements.append(sql_files.compose("queries/live/rejected.sql", feeds=feeds))
        return self._ask(statements)

    def history(self, key: Key, before: float | None = None) -> Answer:
        """The newest candles of a series, or the newest before a bucket, with the gaps of the symbol in that time."""
        until = self.now() + 86_400 if before is None else before
        # A day of the calendar may be closed, so that the candles reach farther back than their number tells.
        since = until - 4 * LENGTH * key.step
        history = sql_files.compose(
            "queries/live/history.sql",
            candle=sql.Identifier(key.candle.name),
            symbol=sql.Literal(key.symbol),
            before=sql.Literal(until),
            limit=sql.Literal(LENGTH),
        )
        return self._ask([history, _gaps([key.symbol], since, until)])

    def symbols(self) -> list[tuple[str, str | None, bool]]:
        """All symbols with their names, and whether a feed streams them now; those first."""
        with self._cursor() as cursor:
            cursor.execute(sql_files.read("queries/live/symbols.sql"))
            return list(cursor.fetchall())

    def explain(self, key: Key, at: float) -> dict[str, Any]:
        """The answer of `explain_candle`, its text, and the command for it. Raises explanation.NoAnswerError."""
        moment = datetime.fromtimestamp(at, timezone.utc)
        with self._cursor() as cursor:
            answer = explanation.explain(cursor, key.symbol, moment, key.candle)
        bucket = datetime.fromisoformat(answer["bucket"].replace("Z", "+00:00"))
        return {
            "answer": answer,
            "text": explanation_text.text(answer),
            "command": explanation.command(key.symbol, bucket, key.candle),
        }

    def _ask(self, statements: Sequence[sql.Composable]) -> Answer:
        begun = time.monotonic()
        with self._cursor() as cursor:
            begun = time.monotonic()
            cursor.execute(sql.SQL("\nUNION ALL\n").join(statements))
            rows = cursor.fetchall()
        parts: Parts = {}
        for name, content in rows:
            parts.setdefault(name, []).append(content)
        for now in parts.pop("now", ()):
            self._ahead = now - time.time()
        for feed in (feed for content in parts.get("feeds", ()) for feed in content):
            positions: dict[str, int] = feed.pop("positions") or {}
            # A journal without a checkpoint waits as a whole.
            feed["waiting"], _ = status.waiting(feed["feed"], defaultdict(int, positions).__getitem__)
        for event in (event for content in parts.get("rejected", ()) for event in content):
            event["reason"], event["raw"] = mask(event["reason"]), mask(event["raw"])
        return Answer(parts, time.monotonic() - begun)

    def _cursor(self) -> _Transaction:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        self.queries += 1
        return _Transaction(self)

    def _connect(self) -> SessionConnection:
        connection = self.database.connect("ticks live")
        try:
            if connection.is_pooled:
                # Each transaction may be another session's, which others use too: it says of itself that it only reads.
                connection.readonly = True
                return connection
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('default_transaction_read_only', 'on', false)")
                cursor.execute("SELECT set_config('statement_timeout', %s, false)", (f"{STATEMENT_SECONDS:.0f}s",))
            connection.commit()
            # A single statement is a transaction by itself, and in the embedded database one turn.
            connection.autocommit = True
        except psycopg2.Error:
            connection.close()
            raise
        return connection

    @property
    def connection(self) -> SessionConnection:
        """The connection, which is open."""
        assert self._connection is not None
        return self._connection


class _Transaction:
    """A cursor for one question. After an error of the connection, the reader has none."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._cursor: Cursor = reader.connection.cursor()

    def __enter__(self) -> Cursor:
        try:
            if self._reader.connection.is_pooled:
                self._reader.connection.begin(self._cursor)
                self._cursor.execute("SET LOCAL statement_timeout = %s", (f"{STATEMENT_SECONDS:.0f}s",))
        except psycopg2.Error:
            self._reader.close()
            raise
        return self._cursor

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        connection = self._reader.connection
        if kind is not None and (connection.closed or issubclass(kind, psycopg2.OperationalError)):
            self._reader.close()
            return
        try:
            self._cursor.close()
            if not connection.autocommit:
                connection.rollback()
        except psycopg2.Error:
            self._reader.close()


def _gaps(symbols: list[str], since: float, until: float) -> sql.Composable:
    return sql_files.compose(
        "queries/live/gaps.sql",
        symbols=sql.Literal(symbols),
        since=sql.Literal(since),
        until=sql.Literal(until),
        limit=sql.Literal(GAPS),
    )
