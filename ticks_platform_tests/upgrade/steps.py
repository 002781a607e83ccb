"""What happens to an old database under the code of today: it starts, its candles are rebuilt, and it continues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import dagster as dg

from ticks_platform.feeds.settings import FeedSettings, load_settings
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.__main__ import main as ingestion_command
from ticks_platform.ingestion.repair.repair import Repair
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.feeds import wait_until
from ticks_platform_tests.support.ingestion import unbalanced
from ticks_platform_tests.support.platform_database import PlatformDatabase
from ticks_platform_tests.support.workers import stopped_workers
from ticks_platform_tests.upgrade.dump import CANDLES, VIEWS, Chunk, Dump, Rows, chunks, difference, rows_of
from ticks_platform_tests.upgrade.structure import objects, structure
from ticks_standin import StandIn, StandInSettings

MAY_BE_EMPTY = {"ticks_platform.touched_slice", "ticks_platform.unsealed_chunk"}
"""What a check has yet to read, or to seal: nothing, where all checks have run."""

NEVER = datetime.min.replace(tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)

WRITTEN_BY_A_START = {
    "ticks_platform.feed_gap": {"gap_id", "found_at", "changed_at"},
    "instrument": {"changed_at"},
    "ticks_platform.feed_lease": {"owner"},
    "ticks_platform.feed_repair_lease": {"owner"},
}
"""Columns that say when a row was made, since a start says what instruments are, and finds the gaps of owners that were
killed; and the leases of the old code, which a start ends."""

FILLED_BY_THE_REBUILD = ("one_minute_candle", "one_hour_candle", "one_day_candle", "session_day_candle")
"""Their day_volume is that of the last tick that has one; it was empty if the last tick had none."""

NUMBERS = {"volume", "day_volume", "day_volume_low", "day_volume_high"}
"""Columns that were whole numbers, or that are sums, of which the last digit depends on the order."""

CONTINUED: dict[str, tuple[str, ...]] = {
    "stocks_real_time": (),
    "ticks_platform.rejected_event": ("feed", "journal_number", "position", "received_at", "raw"),
    "ticks_platform.feed_ledger": (),
    "ticks_platform.feed_hour": ("feed", "destination", "hour", "loaded", "last_received_at", "counted_since"),
    "ticks_platform.feed_handover": ("feed", "epoch", "left_out"),
    "ticks_platform.feed_repair": ("repair_id", "symbol", "state", "cursor", "pages", "results", "error", "failures"),
    "ticks_platform.feed_coverage": ("feed", "symbol", "begins_at", "ends_at", "ended_by", "epoch", "connection"),
    "ticks_platform.feed_gap": ("feed", "symbol", "begins_at", "cause", "state", "rows_repaired"),
}
"""What is compared of the rows that are new or changed when the journals are loaded: all columns where none is named,
and else those that neither tell when that was nor why, in words that change."""

ROUNDED = {"received_at", "first_received_at", "last_received_at", "last_data_at"}
"""Times of arrival of rejected events and in the ledger: rounded to microseconds by the dumped code, cut off today."""

EARLIER = {
    "ticks_platform.feed_ledger": "last_data_at",
    "ticks_platform.feed_coverage": "ends_at",
    "ticks_platform.feed_gap": "begins_at",
}
REJECTED_AT_THE_END = timedelta(milliseconds=100)
"""What was rejected proves no coverage any more. The last frame before the kill was, so coverage ends that much
earlier, where the gap begins."""

NAMES = {"RY": "RY:TSX", "nflx": "NFLX"}
"""Today's names of symbols of the feed abroad: as the provider spells what feeds.yaml asks for."""

ADDED_BY_A_START = {
    ("company", "NFLX"),
    ("ticks_platform.symbol_calendar", "NFLX"),
    ("ticks_platform.symbol_calendar", "RY:TSX"),
}
"""Rows of symbols under their names of today; those under the old ones stay until the job rename_symbols has run."""

BY_NAME = ("ticks_platform.feed_coverage", "ticks_platform.feed_gap")
"""Tables in which the feed abroad has rows of the old names and of the new ones."""

ARRIVALS = {"ticks_platform.feed_ledger": "last_received_at", "ticks_platform.feed_coverage": "begins_at"}
"""Where rows are left out that were not received before the dump was made."""


_RENAMED = {"ticks_platform.feed_coverage": {"reckoned": "computed"}}
_WHOLE = {"stocks_real_time": {"day_volume": "day_volume_whole"}}


def renamed(dump: Dump, *, until_rebuilt: bool = False) -> dict[str, dict[str, str]]:
    """Today's names of the dump's columns, or those of before the candles are rebuilt."""
    if not dump.is_older:
        return {}
    return {**_RENAMED, **_WHOLE} if until_rebuilt else _RENAMED


class Moment(NamedTuple):
    """A database at one moment, as the old code would look at it."""

    rows: dict[str, Rows]
    """Of tables, candles and views, in the columns that they had."""
    chunks: list[Chunk]
    structure: list[str]
    objects: list[str]


class Continued(NamedTuple):
    """What came of the journals."""

    added: dict[str, Rows]
    """Rows that are new or have changed."""
    waited: int
    """Frames that waited in the journals before."""
    left: int
    unbalanced: list[str]
    replayed_again: tuple[int, int]
    """Rows of ticks before a file was replayed for the second time, and after."""


def continue_(
    database: Database, dump: Dump, state: Path, project: Path, before: Moment, names: dict[str, dict[str, str]]
) -> Continued:
    """Feed, repair and replay continue where the old code was killed."""
    settings = load_settings(project / "feeds.yaml")
    feeds = [feed.name for feed in settings.feeds]
    with database.autocommit() as cursor:
        waited = audit.journal_folder(cursor, state / "journal", feeds)
    assert [problem for account in waited.accounts for problem in account.problems()] == []
    with StandIn(StandInSettings(rate=0)) as stand_in:
        for name in ("stocks", "abroad"):
            if name in feeds:
                _load_what_waits(settings.feed(name), stand_in, database)
        tape = settings.feed("tape")
        history = tape.history(stand_in_url=stand_in.url("polygon", key=None))
        assert history is not None
        Repair(feed=tape, history=history, database=database, owner="new repair").run(seconds=20, gaps=False)
        assert stand_in.requests() == [], "nothing is fetched twice"
    exported = str(state / "exported.sqlite3")
    assert ingestion_command(["replay", exported]) == 0
    after = look(database, dump, names)
    assert ingestion_command(["replay", exported]) == 0
    with database.autocommit() as cursor:
        left = audit.journal_folder(cursor, state / "journal", feeds)
        cursor.execute("SELECT count(*) FROM stocks_real_time")
        (ticks,) = cursor.fetchone() or (0,)
    return Continued(
        {table: difference(after.rows[table], before.rows[table]) for table in dump.tables},
        sum(account.waiting for account in waited.accounts),
        sum(account.waiting for account in left.accounts),
        [*unbalanced(database), *(problem for account in left.accounts for problem in account.problems())],
        (len(after.rows["stocks_real_time"].values), ticks),
    )


def _load_what_waits(feed: FeedSettings, stand_in: StandIn, database: Database) -> None:
    connector = feed.connector(stand_in_url=stand_in.url(feed.provider, key=None))
    with Ingestion(feed=feed, connector=connector, database=database, owner="new run") as ingestion:

        def is_loaded() -> bool:
            assert not ingestion.wait(0)
            found = ingestion.progress()
            # The answer to its own subscription comes after all that waited.
            return bool(found.control) and not found.waiting_bytes

        wait_until(is_loaded, "all that waits is loaded", 30)


@contextmanager
def dropped_afterwards(platform_database: PlatformDatabase, *, native: bool) -> Iterator[None]:
    try:
        yield
    finally:
        database = platform_database.drop()
        with database.autocommit() as cursor, stopped_workers(cursor, native=native):
            cursor.execute("SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id >= 1000")


def start(platform: dg.Definitions) -> dg.ExecuteInProcessResult:
    """What every start of the platform does."""
    with dg.DagsterInstance.ephemeral() as instance:
        return platform.resolve_job_def("bring_up").execute_in_process(instance=instance)


def rebuild(platform: dg.Definitions, *, dry_run: bool) -> dg.ExecuteInProcessResult:
    """What CHANGELOG says under «Upgrading»."""
    config = {"candle": "one_minute_candle", "dry_run": dry_run}
    with dg.DagsterInstance.ephemeral() as instance:
        return platform.resolve_job_def("rebuild_candle").execute_in_process(
            run_config={"ops": {"rebuild_candle_op": {"config": config}}}, instance=instance
        )


def look(database: Database, dump: Dump, names: dict[str, dict[str, str]]) -> Moment:
    """Look at the columns that the old code knew, under today's names of them."""
    with database.transaction() as cursor:
        rows = {}
        for name in (*dump.tables, *CANDLES, *VIEWS):
            columns = dump.started(name).columns
            today = names.get(name, {})
            found = rows_of(cursor, name, [today.get(column, column) for column in columns])
            rows[name] = Rows(columns, sorted(found.values))
        return Moment(rows, chunks(cursor), structure(cursor), objects(cursor))


def differing(expected: dict[str, Rows], found: dict[str, Rows]) -> str:
    """Rows that are only in the one or only in the other, a line each."""
    lines = []
    for name, rows in expected.items():
        columns = [column for column in rows.columns if column not in WRITTEN_BY_A_START.get(name, ())]
        old, new = (_comparable(each.of(columns), columns) for each in (rows, found[name]))
        lines += [f"{name}: missing {row}" for row in (Counter(old) - Counter(new)).elements()]
        lines += [f"{name}: added {row}" for row in (Counter(new) - Counter(old)).elements()]
    return "\n".join(lines)


def same_after_rebuild(dump: Dump, rows: dict[str, Rows]) -> dict[str, Rows]:
    """What a rebuild leaves as it was: all, or of the older dump all but columns that it fills, and sessions that have
    extended hours now."""
    kept = dict(rows)
    if not dump.is_older:
        return kept
    for name in FILLED_BY_THE_REBUILD:
        places = [place for place, column in enumerate(rows[name].columns) if column != "day_volume"]
        columns = tuple(rows[name].columns[place] for place in places)
        kept[name] = Rows(columns, [tuple(row[place] for place in places) for row in rows[name].values])
    sessions = kept["session_day_candle"]
    calendars = sessions.column("calendar")
    always = [row for row, calendar in zip(sessions.values, calendars, strict=True) if calendar == "always"]
    kept["session_day_candle"] = Rows(sessions.columns, always)
    return kept


def _comparable(rows: list[tuple[str, ...]], columns: Sequence[str]) -> list[tuple[str, ...]]:
    numbers = {place for place, column in enumerate(columns) if column in NUMBERS}
    return [
        tuple(f"{float(cell):.12g}" if place in numbers and cell != "\\N" else cell for place, cell in enumerate(row))
        for row in rows
    ]


def check_continued(dump: Dump, continued: Continued) -> None:
    """Compare the new and the changed rows with those of the old code."""
    for table, columns in CONTINUED.items():
        expected = _renamed(_received_before(dump.added(table), table, dump))
        found = _received_before(continued.added[table], table, dump)
        if table in BY_NAME:
            expected, found = _without_abroad(expected), _without_abroad(found)
        assert expected.values, table
        columns = columns or found.columns
        earlier = EARLIER.get(table)
        rounded = [
            column for column in columns if column == earlier or (column in ROUNDED and table != "stocks_real_time")
        ]
        exact = [column for column in columns if column not in rounded]
        assert found.of(exact) == expected.of(exact), table
        for old, new in zip(expected.of([*exact, *rounded]), found.of([*exact, *rounded]), strict=True):
            before, after = (dict(zip([*exact, *rounded], row, strict=True)) for row in (old, new))
            for column in rounded:
                later = _time(after[column]) - _time(before[column])
                assert later <= MICROSECOND, (table, column)
                assert later >= -(REJECTED_AT_THE_END if column == earlier else MICROSECOND), (table, column)


def _time(text: str) -> datetime:
    return NEVER if text == "\\N" else datetime.fromisoformat(text.replace("+00", "+00:00"))


def _renamed(rows: Rows) -> Rows:
    if "price" not in rows.columns:
        return rows
    feed, symbol = rows.columns.index("feed"), rows.columns.index("symbol")
    values = [
        (
            *row[:symbol],
            NAMES.get(row[symbol], row[symbol]) if row[feed] == "abroad" else row[symbol],
            *row[symbol + 1 :],
        )
        for row in rows.values
    ]
    return Rows(rows.columns, sorted(values))


def _without_abroad(rows: Rows) -> Rows:
    feed = rows.columns.index("feed")
    return Rows(rows.columns, [row for row in rows.values if row[feed] != "abroad"])


def without_added(dump: Dump, rows: dict[str, Rows]) -> dict[str, Rows]:
    """Without the rows that a start of today's code adds, and one of the old code did not."""
    kept = dict(rows)
    for table, symbol in ADDED_BY_A_START:
        if symbol in dump.started(table).column("symbol"):
            continue
        place = rows[table].columns.index("symbol")
        kept[table] = Rows(rows[table].columns, [row for row in kept[table].values if row[place] != symbol])
    return kept


def _received_before(rows: Rows, table: str, dump: Dump) -> Rows:
    arrivals = rows.column(ARRIVALS[table]) if table in ARRIVALS else [""] * len(rows.values)
    kept = [row for row, at in zip(rows.values, arrivals, strict=True) if at < dump.about["dumped_at"]]
    return Rows(rows.columns, kept)
