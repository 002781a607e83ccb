"""Which relations with names of ours are not ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import CANDLES, TICKS, Candle
from ticks_platform.timescale.requirements import Server, UnusableDatabaseError, require_timescaledb

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

COMPANY = "company"

CANDLE, TABLE, VIEW = "continuous aggregate", "table", "view"
"""Kinds of relations, as queries/adoption/relations.sql calls them."""

TABLES = {
    TICKS: ("time", "symbol", "price", "day_volume", "tick_id", "feed", "received_at"),
    COMPANY: ("symbol", "name"),
    "stock_quotes": ("time", "symbol", "bid_price", "ask_price", "quote_id", "feed", "received_at"),
    "stock_aggregates": ("symbol", "start_time", "end_time", "open_price", "close_price", "feed", "received_at"),
    "official_price": ("symbol", "session", "kind", "price", "exchange", "is_primary", "feed"),
    "tick_correction": ("correction_id", "symbol", "trade_id", "feed", "kind", "tick_id", "known_at"),
    "corporate_action": ("symbol", "kind", "execution_date", "historical_adjustment_factor", "known_at"),
    "instrument": ("symbol", "asset_class", "mic", "tick_size", "may_be_negative", "calendar"),
    "round_lot": ("symbol", "valid_from", "round_lot"),
    "trading_halt": ("time", "symbol", "kind", "feed", "received_at"),
}
"""Columns by which a table is known as ours, also one of an older release. All tables of users' queries are here."""

VIEWS = {
    "one_minute_candle_volume": ("bucket", "symbol", "volume", "derived"),
    "one_minute_candle_filled": ("bucket", "symbol", "open", "close", "source"),
    "proven_candle": ("every", "bucket", "symbol", "close", "proof", "proven_at"),
    "session_day_candle": ("session", "symbol", "calendar", "open", "close"),
    "one_day_candle_adjusted": ("bucket", "symbol", "open", "close", "adj_close", "split_factor"),
    "session_day_candle_adjusted": ("session", "symbol", "open", "close", "adj_close", "split_factor"),
}
"""The same, of views."""

TUTORIAL = ("time", "symbol", "price")
"""Columns that a table of ticks has to have to be adopted."""

_MARK = "tick_count"
"""A column of our candles that no other has."""


class ForeignTablesError(UnusableDatabaseError):
    """The database has tables of others under names of ours; the message names them, and the command."""


class Relation(NamedTuple):
    """A relation of the database that has a name of ours."""

    name: str
    kind: str
    columns: Sequence[str]
    types: Sequence[str]
    symbol_is_unique: bool

    def lacks(self, columns: Sequence[str]) -> list[str]:
        """Those of the columns that it does not have."""
        return [column for column in columns if column not in self.columns]

    @property
    def rename(self) -> str:
        """How it gets out of the way."""
        word = {VIEW: "VIEW", "materialized view": "MATERIALIZED VIEW", CANDLE: "MATERIALIZED VIEW"}.get(
            self.kind, self.kind.split(maxsplit=1)[-1].upper()
        )
        return f"rename it with ALTER {word} {self.name} RENAME TO own_{self.name}"


class Foreign(NamedTuple):
    """A relation that is not ours."""

    relation: Relation
    found: str
    """What it is, in words that follow its name."""
    obstacle: str | None
    """What to do, if it cannot be adopted."""


def find(cursor: Cursor) -> list[Foreign]:
    """The relations in the way, the ticks first."""
    candles = {candle.name: candle for candle in CANDLES}
    cursor.execute(sql_files.read("queries/adoption/relations.sql"), {"names": [*TABLES, *candles, *VIEWS]})
    found = []
    for relation in (Relation(*row) for row in cursor.fetchall()):
        foreign = _candle(relation, candles[relation.name]) if relation.name in candles else _other(relation)
        if foreign is not None:
            found.append(foreign)
    return found


def require_own_tables(cursor: Cursor) -> Server:
    """Check TimescaleDB and that no relation of others has a name of ours. Raises UnusableDatabaseError."""
    server = require_timescaledb(cursor)
    foreign = find(cursor)
    if foreign:
        raise ForeignTablesError(message(foreign))
    return server


def message(foreign: Sequence[Foreign]) -> str:
    """What is in the way, and the command."""
    lines = [f"{each.relation.name}: {each.found}" for each in foreign]
    obstacles = [f"{each.relation.name}: {each.obstacle}" for each in foreign if each.obstacle]
    text = f"this database has tables that are not the platform's, under its names. {'. '.join(lines)}. "
    if obstacles:
        text += f"First: {'; '.join(obstacles)}. "
    if len(obstacles) < len(foreign):
        text += (
            "`ticks database adopt --dry-run` (or the job adopt_tables) says what an adoption would do; without "
            "--dry-run it is done: all rows are kept. Nothing was changed"
        )
    return text.rstrip()


def _candle(relation: Relation, candle: Candle) -> Foreign | None:
    if relation.kind != CANDLE:
        return Foreign(relation, f"a {relation.kind}, not a candle of ours", relation.rename)
    # A project's own file may lack it too.
    if _MARK in relation.columns or _MARK not in sql_files.read(candle.file):
        return None
    return Foreign(relation, f"a continuous aggregate of others ({', '.join(relation.columns)})", None)


def _other(relation: Relation) -> Foreign | None:
    name, kind = relation.name, VIEW if relation.name in VIEWS else TABLE
    wanted = VIEWS[name] if name in VIEWS else TABLES[name]
    if relation.kind != kind:
        return Foreign(relation, f"a {relation.kind}, where the platform has a {kind}", relation.rename)
    lacking = relation.lacks(wanted)
    if name == COMPANY and not lacking and not relation.symbol_is_unique:
        return Foreign(relation, "a table without a unique symbol, as the tutorial's", None)
    if not lacking:
        return None
    found = f"a {kind} ({', '.join(relation.columns)}) without the platform's {', '.join(lacking)}"
    if name == TICKS and not relation.lacks(TUTORIAL):
        return Foreign(relation, f"{found}, as the tutorial's", None)
    return Foreign(relation, found, relation.rename)
