"""An old database with its journals, under the code of today: it starts, its candles are rebuilt, and it continues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from ticks_platform import definitions
from ticks_platform.feeds.settings import FeedSettings, load_settings
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.__main__ import main as ingestion_command
from ticks_platform.ingestion.repair.repair import Repair
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.feeds import wait_until
from ticks_platform_tests.support.ingestion import unbalanced
from ticks_platform_tests.support.platform_database import PlatformDatabase
from ticks_platform_tests.support.workers import stopped_workers
from ticks_platform_tests.upgrade.dump import CANDLES, VIEWS, Chunk, Dump, Rows, chunks, difference, rows_of
from ticks_platform_tests.upgrade.structure import objects, structure
from ticks_standin import StandIn, StandInSettings

NEVER = datetime.min.replace(tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)

WRITTEN_BY_A_START = {
    "ticks_platform.feed_gap": {"gap_id", "found_at", "changed_at"},
    "ticks_platform.feed_lease": {"owner"},
    "ticks_platform.feed_repair_lease": {"owner"},
}
"""Columns that say when a row was made, since a start finds the gaps of owners that were killed; and the leases of the
old code, which a start ends."""

RENAMED = {"ticks_platform.feed_coverage": {"reckoned": "computed"}}
"""Today's names of columns."""

UNTIL_REBUILT = {**RENAMED, "stocks_real_time": {"day_volume": "day_volume_whole"}}
"""Those of before the candles are rebuilt."""

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

ARRIVALS = {"ticks_platform.feed_ledger": "last_received_at", "ticks_platform.feed_coverage": "begins_at"}
"""Where rows are left out that were not received before the dump was made."""


class Moment(NamedTuple):
    """A database at one moment, as the old code would look at it."""

    rows: dict[str, Rows]
    """Of tables, candles and views, in the columns that they had."""
    chunks: list[Chunk]
    structure: list[str]
    objects: list[str]


class Upgraded(NamedTuple):
    """An old database that today's code has been started on."""

    dump: Dump
    database: Database
    made: list[str]
    """The structure of a database that today's code has made."""
    state: Path
    loaded: Moment
    started: Moment
    tried: Moment
    """After a dry run of the rebuild."""
    first: Moment
    """After the rebuild."""
    second: Moment
    """After one more start."""
    start: dg.ExecuteInProcessResult
    """What that start has to say."""


@pytest.fixture(scope="module")
def dump() -> Dump:
    return Dump()


@pytest.fixture(scope="module")
def project(dump: Dump, repository_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with the old feeds.yaml and policies.yaml, and the SQL files of today."""
    folder = tmp_path_factory.mktemp("upgrade")
    (folder / "sql").symlink_to(repository_root / "sql", target_is_directory=True)
    (folder / "feeds.yaml").write_bytes((dump.folder / "feeds.yaml").read_bytes())
    (folder / "policies.yaml").write_bytes((dump.folder / "settings" / "policies.full.yaml").read_bytes())
    return folder


@pytest.fixture(scope="module")
def upgraded(
    dump: Dump, project: Path, database_url: str, platform_database: PlatformDatabase, server_url: str | None
) -> Iterator[Upgraded]:
    made = _structure_of_a_new_one(platform_database.reset())
    database = platform_database.drop()
    state = project / "state"
    with pytest.MonkeyPatch.context() as patch, _dropped_afterwards(platform_database, native=server_url is not None):
        patch.setenv("TICKS_PROJECT_DIR", str(project))
        patch.setenv("TICKS_STATE_DIR", str(state))
        patch.setenv("TICKS_DATABASE_URL", database_url)
        with database.autocommit() as cursor, stopped_workers(cursor, native=server_url is not None):
            dump.load(database)
            loaded = _look(database, dump, {})
        dump.restore_journals(state)
        platform = definitions.defs()
        _start(platform)
        started = _look(database, dump, UNTIL_REBUILT)
        _rebuild(platform, dry_run=True)
        tried = _look(database, dump, UNTIL_REBUILT)
        _rebuild(platform, dry_run=False)
        first = _look(database, dump)
        start = _start(platform)
        second = _look(database, dump)
        yield Upgraded(dump, database, made, state, loaded, started, tried, first, second, start)


@contextmanager
def _dropped_afterwards(platform_database: PlatformDatabase, *, native: bool) -> Iterator[None]:
    try:
        yield
    finally:
        database = platform_database.drop()
        with database.autocommit() as cursor, stopped_workers(cursor, native=native):
            cursor.execute("SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id >= 1000")


def _structure_of_a_new_one(database: Database) -> list[str]:
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.RETENTION)
        return structure(cursor)


def _start(platform: dg.Definitions) -> dg.ExecuteInProcessResult:
    """What every start of the platform does."""
    with dg.DagsterInstance.ephemeral() as instance:
        return platform.resolve_job_def("bring_up").execute_in_process(instance=instance)


def _rebuild(platform: dg.Definitions, *, dry_run: bool) -> dg.ExecuteInProcessResult:
    """What CHANGELOG says under «Upgrading»."""
    config = {"candle": "one_minute_candle", "dry_run": dry_run}
    with dg.DagsterInstance.ephemeral() as instance:
        return platform.resolve_job_def("rebuild_candle").execute_in_process(
            run_config={"ops": {"make_candle_anew": {"config": config}}}, instance=instance
        )


def _look(database: Database, dump: Dump, renamed: dict[str, dict[str, str]] = RENAMED) -> Moment:
    """Look at the columns that the old code knew, under the names that it had for them."""
    with database.transaction() as cursor:
        rows = {}
        for name in (*dump.tables, *CANDLES, *VIEWS):
            columns = dump.started(name).columns
            names = renamed.get(name, {})
            found = rows_of(cursor, name, [names.get(column, column) for column in columns])
            rows[name] = Rows(columns, sorted(found.values))
        return Moment(rows, chunks(cursor), structure(cursor), objects(cursor))


def _differing(expected: dict[str, Rows], found: dict[str, Rows]) -> str:
    """Rows that are only in the one or only in the other, a line each."""
    lines = []
    for name, rows in expected.items():
        columns = [column for column in rows.columns if column not in WRITTEN_BY_A_START.get(name, ())]
        old, new = (_comparable(each.of(columns), columns) for each in (rows, found[name]))
        lines += [f"{name}: missing {row}" for row in (Counter(old) - Counter(new)).elements()]
        lines += [f"{name}: added {row}" for row in (Counter(new) - Counter(old)).elements()]
    return "\n".join(lines)


def _comparable(rows: list[tuple[str, ...]], columns: Sequence[str]) -> list[tuple[str, ...]]:
    numbers = {place for place, column in enumerate(columns) if column in NUMBERS}
    return [
        tuple(f"{float(cell):.12g}" if place in numbers and cell != "\\N" else cell for place, cell in enumerate(row))
        for row in rows
    ]


def test_the_dump_is_loaded_as_it_was(upgraded: Upgraded) -> None:
    dump, loaded = upgraded.dump, upgraded.loaded
    assert _differing({table: dump.rows(table) for table in dump.tables}, loaded.rows) == ""
    assert loaded.chunks == dump.chunks
    assert sum(chunk.is_compressed for chunk in loaded.chunks) >= 2
    late = [candle for candle in CANDLES if loaded.rows[candle] != dump.started(candle)]
    assert late == [*CANDLES], "ticks have come since their candles were refreshed"


@pytest.mark.parametrize("moment", ["started", "first"])
def test_rows_and_candles_become_what_the_old_code_would_have_made_of_them(upgraded: Upgraded, moment: str) -> None:
    """At once, and after the rebuild."""
    dump = upgraded.dump
    expected = {name: dump.started(name) for name in (*dump.tables, *CANDLES, *VIEWS)}
    assert all(rows.values for rows in expected.values())
    assert _differing(expected, getattr(upgraded, moment).rows) == ""


def test_a_dry_run_of_the_rebuild_changes_nothing(upgraded: Upgraded) -> None:
    assert upgraded.tried == upgraded.started


@pytest.mark.parametrize("candle", CANDLES)
def test_all_ticks_of_the_old_code_form_prices(upgraded: Upgraded, candle: str) -> None:
    """Of candles that are made of ticks, and of those that are carried over."""
    with upgraded.database.transaction() as cursor:
        cursor.execute(f"SELECT count(*), count(*) FILTER (WHERE price_count = tick_count) FROM {candle}")
        candles, right = cursor.fetchone() or (0, 0)
    assert candles == right > 0


def test_the_structure_becomes_that_of_a_new_database(upgraded: Upgraded) -> None:
    """What a file makes in a new database it makes in an old one too: no column is forgotten, and none is left."""
    found, made = upgraded.first.structure, upgraded.made
    # Functions that only a start makes are not in it.
    assert [line for line in made if line not in found] == []
    assert [line for line in found if line not in made and not line.startswith("function")] == []


def test_a_second_start_changes_nothing(upgraded: Upgraded) -> None:
    assert upgraded.second.rows == upgraded.first.rows
    assert upgraded.second.structure == upgraded.first.structure
    assert upgraded.second.objects == upgraded.first.objects


def test_compressed_chunks_stay_compressed(upgraded: Upgraded) -> None:
    now = {(chunk.hypertable, chunk.begins_at): chunk.is_compressed for chunk in upgraded.second.chunks}
    compressed = [chunk for chunk in upgraded.dump.chunks if chunk.is_compressed]
    assert all(now[chunk.hypertable, chunk.begins_at] for chunk in compressed)
    assert now.keys() == {(chunk.hypertable, chunk.begins_at) for chunk in upgraded.dump.chunks}


def test_policies_and_candles_are_as_declared(upgraded: Upgraded) -> None:
    shown = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in upgraded.start.get_asset_materialization_events()
        if event.asset_key is not None
    }
    outcomes = {name: shown[name]["outcome"].value for name in shown if name.endswith("_policy")}
    off = "stock_aggregates_retention_policy"
    assert outcomes == {**dict.fromkeys(outcomes, "unchanged"), off: "off"}
    assert {shown[candle]["definition in the database"].value for candle in CANDLES} == {"as in its file"}
    with upgraded.database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000")
        assert cursor.fetchone() == (len(outcomes) - 1,)


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


@pytest.fixture(scope="module")
def continued(upgraded: Upgraded, project: Path) -> Continued:
    """Feed, repair and replay go on where the old code was killed."""
    database, dump, state = upgraded.database, upgraded.dump, upgraded.state
    settings = load_settings(project / "feeds.yaml")
    names = [feed.name for feed in settings.feeds]
    with database.autocommit() as cursor:
        waited = audit.journal_folder(cursor, state / "journal", names)
    assert [problem for account in waited.accounts for problem in account.problems()] == []
    with StandIn(StandInSettings(rate=0)) as stand_in:
        _load_what_waits(settings.feed("stocks"), stand_in, database)
        tape = settings.feed("tape")
        history = tape.history(stand_in_url=stand_in.url("polygon", key=None))
        assert history is not None
        Repair(feed=tape, history=history, database=database, owner="new repair").run(seconds=20, gaps=False)
        assert stand_in.requests() == [], "nothing is fetched twice"
    exported = str(state / "exported.sqlite3")
    assert ingestion_command(["replay", exported]) == 0
    after = _look(database, dump)
    assert ingestion_command(["replay", exported]) == 0
    with database.autocommit() as cursor:
        left = audit.journal_folder(cursor, state / "journal", names)
        cursor.execute("SELECT count(*) FROM stocks_real_time")
        (ticks,) = cursor.fetchone() or (0,)
    return Continued(
        {table: difference(after.rows[table], upgraded.second.rows[table]) for table in dump.tables},
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


def test_the_account_balances(upgraded: Upgraded, continued: Continued) -> None:
    assert continued.unbalanced == []
    assert continued.waited >= 30
    assert continued.left == 0


def test_what_waited_becomes_what_the_old_code_would_have_made_of_it(upgraded: Upgraded, continued: Continued) -> None:
    """Each event once, whether it waited in one journal or in both of a pair, with the same tick_id."""
    for table, columns in CONTINUED.items():
        expected = _received_before(upgraded.dump.added(table), table, upgraded.dump)
        found = _received_before(continued.added[table], table, upgraded.dump)
        assert expected.values, table
        columns = columns or found.columns
        rounded = [column for column in columns if column in ROUNDED and table != "stocks_real_time"]
        exact = [column for column in columns if column not in rounded]
        assert found.of(exact) == expected.of(exact), table
        for old, new in zip(expected.of([*exact, *rounded]), found.of([*exact, *rounded]), strict=True):
            times = zip(old[len(exact) :], new[len(exact) :], strict=True)
            assert all(abs(_time(one) - _time(other)) <= MICROSECOND for one, other in times), table


def _time(text: str) -> datetime:
    return NEVER if text == "\\N" else datetime.fromisoformat(text.replace("+00", "+00:00"))


def _received_before(rows: Rows, table: str, dump: Dump) -> Rows:
    arrivals = rows.column(ARRIVALS[table]) if table in ARRIVALS else [""] * len(rows.values)
    kept = [row for row, at in zip(rows.values, arrivals, strict=True) if at < dump.about["dumped_at"]]
    return Rows(rows.columns, kept)


def test_nothing_else_of_the_past_is_touched(upgraded: Upgraded, continued: Continued) -> None:
    untouched = {"stock_quotes", "stock_aggregates", "company", "ticks_platform.feed", "ticks_platform.market_session"}
    assert [table for table in untouched if continued.added[table].values] == []


def test_an_exported_journal_is_replayed_once(continued: Continued) -> None:
    before, after = continued.replayed_again
    assert before == after
