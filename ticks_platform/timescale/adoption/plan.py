"""What an adoption would do, and what it cannot do. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.adoption import relations
from ticks_platform.timescale.adoption.relations import COMPANY, Relation
from ticks_platform.timescale.candles.candles import CANDLES, TICKS, Candle

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

DATA_COLUMNS = {
    "size": "double precision",
    "bid": "double precision",
    "ask": "double precision",
    "exchange": "text",
    "trade_id": "text",
}
"""Columns of ours that a table of others may have already, if they are of this type."""

OWN_COLUMNS = ("tick_id", "feed", "received_at", "updates", "conditions", "received_at_raw", "day_volume_whole")
"""Columns whose values mean something to the platform."""

VOLUMES = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
"""Types of day_volume that become double precision."""

KEPT = "{}_tutorial"
"""The name of a candle that is kept."""

GONE = "{}_without_ticks"
"""The name of the table of candles that cannot be made of ticks any more."""

SHOWN = 20
"""Symbols and companies of a message."""


class CandlePlan(NamedTuple):
    """What happens to a continuous aggregate that has the name of one of ours."""

    candle: Candle
    kept_as: str | None
    """Its new name, if it is kept."""
    without_ticks: int
    """Candles whose ticks are gone, which are kept as a table."""
    known_columns: bool
    """Whether it has a bucket and a symbol, so that those without ticks can be found."""

    @property
    def table(self) -> str:
        """The table of those without ticks."""
        return GONE.format(self.candle.name)


class TicksPlan(NamedTuple):
    """What happens to the table of ticks."""

    rows: int
    first: datetime | None
    last: datetime | None
    is_hypertable: bool
    has_columnstore: bool
    volume_type: str | None
    """Of day_volume; None where there is none."""


class Plan(NamedTuple):
    """What an adoption would do."""

    ticks: TicksPlan | None
    candles: tuple[CandlePlan, ...]
    company: bool
    steps: tuple[str, ...]
    """Each in words."""
    notes: tuple[str, ...]
    """What is to be known, and stays as it is."""
    obstacles: tuple[str, ...]
    """What has to be done by hand before; each with the statement."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to adopt."""
        return self.ticks is None and not self.candles and not self.company and not self.obstacles

    def lines(self, *, done: bool) -> list[str]:
        """What to print of it."""
        if self.is_empty:
            return ["there is nothing to adopt: no table of others has a name of the platform's"]
        if self.obstacles:
            return [*(f"FIX   {each}" for each in self.obstacles), "it cannot be adopted yet; nothing was changed"]
        lines = [f"{'done' if done else 'would be done'}: {each}" for each in self.steps]
        lines += [f"note: {each}" for each in self.notes]
        last = "`ticks dev` makes the candles and policies" if done else "a dry run: nothing was changed"
        return [*lines, last]


class _Words(NamedTuple):
    steps: list[str]
    notes: list[str]
    obstacles: list[str]


def plan(cursor: Cursor, *, keep_candles: bool, symbols: Collection[str] | None) -> Plan:
    """What an adoption would do. `symbols` are those of feeds.yaml, as ticks call them; None where it is not known."""
    words = _Words([], [], [])
    foreign = {each.relation.name: each for each in relations.find(cursor)}
    words.obstacles.extend(f"{name}: {each.obstacle}" for name, each in foreign.items() if each.obstacle)
    adoptable = {name: each.relation for name, each in foreign.items() if not each.obstacle}
    ticks = _ticks(cursor, adoptable[TICKS], symbols, words) if TICKS in adoptable else None
    candles = []
    for candle in CANDLES:
        if candle.name in adoptable:
            candles.append(_candle(cursor, candle, adoptable[candle.name], keep=keep_candles, words=words))
    _dependent_candles(cursor, [each.candle.name for each in candles], keep=keep_candles, words=words)
    if COMPANY in adoptable:
        _company(cursor, words)
    if adoptable:
        _jobs(cursor, words)
    return Plan(ticks, tuple(candles), COMPANY in adoptable, *(tuple(each) for each in words))


def _ticks(cursor: Cursor, relation: Relation, symbols: Collection[str] | None, words: _Words) -> TicksPlan | None:
    cursor.execute(sql_files.read("queries/adoption/table.sql"))
    owner, is_owner, is_hypertable, has_columnstore, dimensions, has_children, triggers, is_secured, constraints = (
        cursor.fetchone() or ()
    )
    types = dict(zip(relation.columns, relation.types, strict=True))
    before = len(words.obstacles)
    if not is_owner:
        words.obstacles.append(
            f"{TICKS} belongs to {owner}: run this as that user, or let it run ALTER TABLE … OWNER TO"
        )
    if is_secured:
        words.obstacles.append(
            f"{TICKS} has row security, which its columnstore cannot have: "
            f"ALTER TABLE {TICKS} DISABLE ROW LEVEL SECURITY"
        )
    if has_children:
        words.obstacles.append(f"{TICKS} has tables that inherit from it: copy their rows into it, and drop them")
    if is_hypertable and (not dimensions or dimensions[0] != "time"):
        words.obstacles.append(f"{TICKS} is a hypertable by {', '.join(dimensions)}, not by time: {_copy_into_new()}")
    _types(types, is_hypertable=is_hypertable, words=words)
    cursor.execute(sql_files.read("queries/adoption/columns.sql"), {"table": TICKS})
    for name, _type, is_needed, is_generated in cursor.fetchall():
        if is_needed and not is_generated and name not in ("time", "symbol", "price", "day_volume", *DATA_COLUMNS):
            words.obstacles.append(
                f"{TICKS}.{name} needs a value in each row, which no feed gives it: "
                f'give it a default, or ALTER TABLE stocks_real_time ALTER COLUMN "{name}" DROP NOT NULL'
            )
        elif is_needed and name not in ("time", "symbol"):
            words.obstacles.append(
                f"{TICKS}.{name} may not be empty, and at times it is: "
                f'ALTER TABLE stocks_real_time ALTER COLUMN "{name}" DROP NOT NULL'
            )
    cursor.execute(sql_files.read("queries/adoption/unique_indexes.sql"))
    for name, definition, statement in cursor.fetchall():
        words.obstacles.append(
            f"{name} allows one row of a time stamp, and many ticks share one ({definition}): {statement}"
        )
    if len(words.obstacles) > before:
        return None
    if constraints:
        words.notes.append(
            "constraints of your own stay, and events that violate one are rejected, with the reason: "
            f"{'; '.join(constraints)}"
        )
    return _contents(cursor, types, symbols, words, (is_hypertable, has_columnstore, triggers))


def _copy_into_new() -> str:
    return (
        f"rename it (ALTER TABLE {TICKS} RENAME TO own_ticks), start the platform, and insert its rows in the order of "
        "time: the columns time, symbol, price and day_volume are enough"
    )


def _types(types: dict[str, str], *, is_hypertable: bool, words: _Words) -> None:
    """What has another type than it may have."""
    if types["time"] != "timestamp with time zone":
        remedy = _alter("time", "timestamptz USING time AT TIME ZONE 'UTC', if it is UTC")
        words.obstacles.append(
            f"{TICKS}.time is {types['time']}, not timestamptz: {_copy_into_new() if is_hypertable else remedy}"
        )
    if types["symbol"] not in ("text", "character varying"):
        words.obstacles.append(f"{TICKS}.symbol is {types['symbol']}, not text: {_alter('symbol', 'text')}")
    if types["price"] != "double precision":
        words.obstacles.append(
            f"{TICKS}.price is {types['price']}, not double precision: {_alter('price', 'double precision')}"
        )
    if "day_volume" in types and types["day_volume"] not in VOLUMES:
        words.obstacles.append(f"{TICKS}.day_volume is {types['day_volume']}, not a number: {_rename('day_volume')}")
    for name, wanted in DATA_COLUMNS.items():
        if name in types and types[name] != wanted:
            words.obstacles.append(f"{TICKS}.{name} is {types[name]}, and ours is {wanted}: {_rename(name)}")
    words.obstacles.extend(
        f"{TICKS}.{name} is a column of the platform, and means something else here: {_rename(name)}"
        for name in OWN_COLUMNS
        if name in types
    )


def _alter(column: str, wanted: str) -> str:
    return f"change it with ALTER TABLE stocks_real_time ALTER COLUMN {column} TYPE {wanted}"


def _rename(column: str) -> str:
    return f"rename it with ALTER TABLE {TICKS} RENAME COLUMN {column} TO own_{column}"


def _contents(
    cursor: Cursor,
    types: dict[str, str],
    symbols: Collection[str] | None,
    words: _Words,
    table: tuple[bool, bool, Sequence[str]],
) -> TicksPlan:
    is_hypertable, has_columnstore, triggers = table
    cursor.execute(sql_files.read("queries/adoption/contents.sql"))
    row = cursor.fetchone()
    assert row is not None
    rows, first, last, future, old, priceless, no_number, known = row
    if future:
        words.obstacles.append(
            f"{future} rows of {TICKS} have a time in the future (up to {last}), which would keep candles from being "
            "refreshed. They may have been written in another time zone than UTC: correct or delete those with time > "
            "now()"
        )
    if old:
        words.obstacles.append(
            f"{old} rows of {TICKS} have a time before 1990: correct or delete those with time < '1990-01-01'"
        )
    cursor.execute(sql_files.read("queries/adoption/chunks.sql"))
    chunks = cursor.fetchall()
    compressed = sum(1 for _, is_compressed in chunks if is_compressed)
    if not is_hypertable:
        words.steps.append(f"{TICKS} becomes a hypertable by time")
    words.steps.append(
        f"{rows} ticks{f' from {first} to {last}' if rows else ''} are kept in {TICKS}, as ticks of the feed manual: "
        "ordered by time and then as they lie in the table; when they arrived is not known, so received_at is their "
        "time"
    )
    if types.get("day_volume", "double precision") != "double precision":
        words.steps.append(f"day_volume becomes double precision; it is {types['day_volume']}")
    if compressed:
        words.steps.append(
            f"{compressed} of {len(chunks)} chunks are compressed: they become rows for as long as it takes, and are "
            "compressed again. The disk has to have the space"
        )
    if rows:
        words.notes.append(
            "nothing tells whether these ticks are live or made up: the first feed decides it for the database. If "
            "they are live, remove feeds with `endpoint: stand-in` from feeds.yaml before the next start"
        )
    own = [name for name in types if name not in relations.TABLES[TICKS] and name not in DATA_COLUMNS]
    if own:
        words.notes.append(f"columns of your own stay, and are empty in ticks of feeds: {', '.join(own)}")
    if triggers:
        words.notes.append(f"triggers stay, and make loading slower: {', '.join(triggers)}")
    if priceless:
        words.notes.append(f"{priceless} rows without a price stay, and set none in a candle")
    if no_number:
        words.notes.append(f"{no_number} rows have a price that is not a number or infinite; their candles have it too")
    unknown = sorted(set(known) - set(symbols)) if symbols is not None else []
    if unknown:
        words.notes.append(
            f"{len(unknown)} symbols of the ticks are in no feed of feeds.yaml, and stay: {', '.join(unknown[:SHOWN])}"
        )
    return TicksPlan(rows, first, last, is_hypertable, has_columnstore, types.get("day_volume"))


def _candle(cursor: Cursor, candle: Candle, relation: Relation, *, keep: bool, words: _Words) -> CandlePlan:
    name = candle.name
    if keep:
        kept = KEPT.format(name)
        _refuse_taken(cursor, kept, words)
        words.steps.append(f"{name} is kept as {kept}, with its policy; {name} becomes ours")
        return CandlePlan(candle, kept, 0, known_columns=True)
    known = not relation.lacks(("bucket", "symbol"))
    query = "queries/adoption/candles_without_ticks.sql" if known else "queries/adoption/candles.sql"
    cursor.execute(sql_files.compose(query, candle=sql.Identifier(name)), {"width": candle.bucket})
    (gone,) = cursor.fetchone() or (0,)
    words.steps.append(f"{name} is dropped, with its policy, and becomes ours, made of the ticks")
    plan = CandlePlan(candle, None, gone, known)
    if gone:
        _refuse_taken(cursor, plan.table, words)
        why = "have no ticks any more" if known else "may not be made of ticks"
        words.steps.append(f"{gone} candles of {name} {why}: they are kept in the table {plan.table}")
    cursor.execute(sql_files.read("queries/adoption/grants.sql"), {"relation": name})
    grants = [statement for (statement,) in cursor.fetchall()]
    if grants:
        words.steps.append(f"privileges on {name} are granted on ours: {'; '.join(grants)}")
    return plan


def _refuse_taken(cursor: Cursor, name: str, words: _Words) -> None:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (name,))
    if cursor.fetchone() == (True,):
        words.obstacles.append(f"{name} is there already, where candles are to be kept: rename or drop it")


def _dependent_candles(cursor: Cursor, names: Sequence[str], *, keep: bool, words: _Words) -> None:
    """What reads a candle that is to be dropped."""
    for name in () if keep else names:
        cursor.execute(sql_files.read("queries/adoption/candle_readers.sql"), {"candle": name})
        readers = sorted({reader for (reader,) in cursor.fetchall()} - set(names))
        if readers:
            words.obstacles.append(
                f"{', '.join(readers)} read {name}: use --candles keep, which renames it with all that reads it, or "
                "drop them and make them again afterwards"
            )


def _company(cursor: Cursor, words: _Words) -> None:
    cursor.execute(sql_files.read("queries/adoption/columns.sql"), {"table": COMPANY})
    for name, _type, is_needed, is_generated in cursor.fetchall():
        if is_needed and not is_generated and name not in ("symbol", "name"):
            words.obstacles.append(
                f"{COMPANY}.{name} needs a value in each row, and feeds.yaml has none: "
                f'give it a default, or ALTER TABLE company ALTER COLUMN "{name}" DROP NOT NULL'
            )
    cursor.execute(sql_files.read("queries/adoption/company_without_symbol.sql"))
    (without,) = cursor.fetchone() or (0,)
    if without:
        words.obstacles.append(f"{without} rows of {COMPANY} have no symbol: delete those where symbol IS NULL")
    cursor.execute(sql_files.read("queries/adoption/company_duplicates.sql"))
    twice = cursor.fetchall()
    words.steps.append(f"the symbol of {COMPANY} becomes unique")
    if twice:
        shown = "; ".join(f"{symbol} stays {names[-1]}, of {', '.join(names)}" for symbol, names in twice[:SHOWN])
        more = f"; and {len(twice) - SHOWN} more" if len(twice) > SHOWN else ""
        rows = sum(len(names) - 1 for _, names in twice)
        words.steps.append(f"{rows} rows of {COMPANY} whose symbol comes again are removed: {shown}{more}")


def _jobs(cursor: Cursor, words: _Words) -> None:
    names = [TICKS, *(candle.name for candle in CANDLES)]
    cursor.execute(sql_files.read("queries/adoption/jobs.sql"), {"names": names})
    for job, table, procedure, config in cursor.fetchall():
        if table == TICKS and procedure in ("policy_retention", "policy_compression"):
            kind = "retention" if procedure == "policy_retention" else "columnstore"
            words.notes.append(
                f"job {job} ({procedure}, {config}) becomes what policies.yaml says of {kind}: {TICKS}; if that is "
                "off, the job is removed at the next start"
            )
        elif table == TICKS:
            words.notes.append(f"job {job} ({procedure}) goes on working on {TICKS}")
