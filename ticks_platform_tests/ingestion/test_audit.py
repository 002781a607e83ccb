"""The audit: it finds missing and surplus rows and frames; retention and foreign files are no loss."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.audit import Hours, JournalFolder
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.timescale import gone, sql_files
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies.settings import POLICIES, Kind
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, price, rows

DAY = 86_400
NOON = int(time.time()) // DAY * DAY - DAY // 2
"""Noon of yesterday, UTC: the hours around it are in the past, and in the chunk of one day."""


def compare(database: Database, *, everything: bool = False, fresh: timedelta = timedelta(0)) -> Hours:
    with database.autocommit() as cursor:
        return audit.hours(cursor, everything=everything, fresh=fresh)


def utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def both(database: Database) -> list[Hours]:
    """What the check of every five minutes finds, and the daily one."""
    return [compare(database), compare(database, everything=True)]


def execute(database: Database, statement: str) -> None:
    with database.transaction() as cursor:
        cursor.execute(statement)


@pytest.fixture
def loaded(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> Database:
    """Three ticks in each of the hours 11, 12 and 13 of yesterday and the day before."""
    frames = [
        price(timestamp=NOON - DAY * day + 3600 * hour + second)
        for day in (0, 1)
        for hour in (-1, 0, 1)
        for second in range(3)
    ]
    make_loader(take_lease("one"), frames).run()
    return database


@pytest.mark.parametrize("everything", [False, True])
def test_nothing_is_missing(loaded: Database, everything: bool) -> None:
    assert compare(loaded, everything=everything) == Hours(6, 18, 0, 0, [], [])


@pytest.mark.parametrize("everything", [False, True])
def test_a_deleted_tick_is_reported(loaded: Database, everything: bool) -> None:
    execute(loaded, f"DELETE FROM stocks_real_time WHERE time = to_timestamp({NOON})")
    found = compare(loaded, everything=everything)
    assert (found.compared, found.differing) == (6, 1)
    missing, differing = found.problems()
    assert differing == f"feed test: 3 events loaded of the hour {utc(NOON)} UTC, but 2 rows in stocks_real_time"
    assert missing.startswith(
        f"1 rows of stocks_real_time from {utc(NOON)} to {utc(NOON + 3600)} UTC (1 h) are gone, and retention did "
        "not drop them."
    )


@pytest.mark.parametrize("everything", [False, True])
def test_an_emptied_chunk_is_reported(loaded: Database, everything: bool) -> None:
    execute(loaded, f"DELETE FROM stocks_real_time WHERE time < to_timestamp({NOON - DAY // 2})")
    assert compare(loaded, everything=everything).differing == 3


@pytest.mark.parametrize("everything", [False, True])
def test_a_surplus_tick_is_reported(loaded: Database, everything: bool) -> None:
    execute(loaded, f"INSERT INTO stocks_real_time SELECT * FROM stocks_real_time WHERE time = to_timestamp({NOON})")
    execute(
        loaded,
        "INSERT INTO stocks_real_time (time, symbol, tick_id, feed, received_at) SELECT time, symbol, tick_id, "
        f"'by hand', received_at FROM stocks_real_time WHERE time = to_timestamp({NOON + 3600})",
    )
    found = compare(loaded, everything=everything)
    assert [(row["feed"], row["loaded"], row["stored"]) for row in found.examples] == [
        ("by hand", 0, 1),
        ("test", 3, 4),
    ]


def run_retention(database: Database, *, table: str = "stocks_real_time", until: int = NOON - DAY // 2) -> None:
    """Drop the chunks that end before a time, as a declared policy does."""
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.RETENTION)
    config = json.dumps({"hypertable": table, "drop_after": f"{time.time() - until} seconds"})
    with database.autocommit() as cursor:
        cursor.execute("CALL ticks_platform.drop_old_chunks(1, %s)", (config,))


def declare(database: Database) -> int:
    """Declare what is gone of the ticks; returns the number of rows."""
    with database.transaction() as cursor:
        return gone.declare(cursor, "stocks_real_time", declared_by="a test", reason="meant to be").rows


FIRST = "a chunk that is dropped by hand"
UNDECLARED = {
    FIRST: f"SELECT drop_chunks('stocks_real_time', to_timestamp({NOON - DAY // 2}))",
    "all chunks, today's as well": "SELECT drop_chunks('stocks_real_time', now() + INTERVAL '2 days')",
    "an emptied table": "TRUNCATE stocks_real_time",
    "deleted rows": f"DELETE FROM stocks_real_time WHERE time < to_timestamp({NOON})",
    "deleted rows of a compressed chunk": """
        SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk;
        DELETE FROM stocks_real_time WHERE time < now() - INTERVAL '30 hours'
        """,
    "a compressed chunk that is dropped": f"""
        SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk;
        SELECT drop_chunks('stocks_real_time', to_timestamp({NOON - DAY // 2}))
        """,
    "a table restored without its chunks": """
        CREATE TABLE restored (LIKE stocks_real_time INCLUDING ALL);
        DROP TABLE stocks_real_time CASCADE;
        ALTER TABLE restored RENAME TO stocks_real_time;
        SELECT create_hypertable('stocks_real_time', 'time', chunk_time_interval => INTERVAL '1 day')
        """,
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case == FIRST else pytest.mark.full) for case in UNDECLARED]
)
def test_what_nobody_declared_is_an_error_until_it_is_declared(loaded: Database, case: str) -> None:
    execute(loaded, UNDECLARED[case])
    left = rows(loaded, "SELECT count(*) FROM stocks_real_time")[0][0]
    for found in both(loaded):
        assert sum(row["rows"] for row in found.missing) == 18 - left
        assert f"{18 - left} rows of stocks_real_time" in found.problems()[0]
        assert "`ticks declare gone stocks_real_time --from" in found.problems()[0]
    assert declare(loaded) == 18 - left
    assert ([found.problems() for found in both(loaded)], declare(loaded)) == ([[], []], 0)
    with loaded.autocommit() as cursor:
        (account,) = audit.accounts(cursor)
    assert (account.loaded, account.problems()) == (18, [])
    noted = rows(loaded, "SELECT table_name, rows::int, declared_by, reason FROM ticks_platform.feed_gone")
    assert noted == [("stocks_real_time", 18 - left, "a test", "meant to be")]


def test_an_old_chunk_that_is_dropped_by_hand_is_found_without_reading_ticks(loaded: Database) -> None:
    """By the check of every five minutes, though nothing was loaded for hours."""
    execute(loaded, "UPDATE ticks_platform.feed_hour SET changed_at = now() - INTERVAL '30 days'")
    assert compare(loaded).compared == 6  # they were not proven yet
    fresh = timedelta(minutes=6)
    assert compare(loaded, fresh=fresh) == Hours(0, 0, 0, 0, [], [])
    execute(loaded, f"SELECT drop_chunks('stocks_real_time', to_timestamp({NOON - DAY // 2}))")
    found = compare(loaded, fresh=fresh)
    assert (found.compared, found.stored, found.differing) == (3, 0, 3)
    begin, end = utc(NOON - DAY - 3600), utc(NOON - DAY + 7200)
    assert found.missing == [
        {"destination": "stocks_real_time", "rows": 9, "hours": 3, "begins_at": begin, "ends_at": end}
    ]


def test_what_retention_drops_is_no_loss(loaded: Database) -> None:
    run_retention(loaded)
    assert rows(loaded, "SELECT count(*) FROM stocks_real_time") == [(9,)]
    assert [(found.compared, found.stored, found.problems()) for found in both(loaded)] == [(6, 9, [])] * 2
    with loaded.autocommit() as cursor:
        (account,) = audit.accounts(cursor)
    assert (account.loaded, account.loaded_by_hour, account.problems()) == (18, 18, [])
    noted = rows(loaded, "SELECT rows::int, declared_by, begins_at FROM ticks_platform.feed_gone")
    assert noted == [(9, "retention", datetime.fromtimestamp(NOON - DAY - 3600, timezone.utc))]
    execute(loaded, f"SELECT drop_chunks('stocks_real_time', to_timestamp({NOON + DAY // 2}))")
    assert [found.missing[0]["rows"] for found in both(loaded)] == [9, 9], "beyond what retention dropped"


@pytest.mark.full
def test_a_retention_policy_of_timescaledbs_own_is_no_loss(loaded: Database) -> None:
    """It notes nothing, so the account looks at how old rows may become; a policy that is removed is noted then."""
    age = f"INTERVAL '{time.time() - (NOON - DAY // 2)} seconds'"
    execute(loaded, f"SELECT add_retention_policy('stocks_real_time', {age})")
    execute(loaded, f"SELECT drop_chunks('stocks_real_time', now() - {age})")
    assert [found.problems() for found in both(loaded)] == [[], []]
    policy = next(each for each in POLICIES if each.kind is Kind.RETENTION and each.table == "stocks_real_time")
    with loaded.transaction() as cursor:
        assert policy_jobs.apply(cursor, policy, None).outcome == "removed"
    assert rows(loaded, "SELECT rows::int, declared_by FROM ticks_platform.feed_gone") == [(9, "retention")]
    assert [found.problems() for found in both(loaded)] == [[], []]
    execute(loaded, f"SELECT drop_chunks('stocks_real_time', to_timestamp({NOON + DAY // 2}))")
    assert [found.missing[0]["rows"] for found in both(loaded)] == [9, 9]


@pytest.mark.full
def test_a_late_tick_into_a_dropped_chunk_is_compared(
    loaded: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    """It creates the chunk again, without its rows; retention drops it again."""
    run_retention(loaded)
    late = [price(timestamp=NOON - DAY), price(timestamp=NOON - DAY + 7200)]
    make_loader(take_lease("two"), late).run()
    assert [(found.compared, found.stored, found.problems()) for found in both(loaded)] == [(7, 11, []), (7, 11, [])]
    execute(loaded, f"DELETE FROM stocks_real_time WHERE time = to_timestamp({NOON - DAY})")
    for found in both(loaded):
        missing, differing = found.problems()
        assert "1 rows of stocks_real_time" in missing
        assert differing == (
            f"feed test: 4 events loaded of the hour {utc(NOON - DAY)} UTC, but 0 rows in stocks_real_time and 3 gone "
            "with a reason"
        )
    assert declare(loaded) == 1
    run_retention(loaded)
    assert [found.problems() for found in both(loaded)] == [[], []]
    assert rows(loaded, "SELECT sum(gone)::int FROM ticks_platform.feed_hour") == [(11,)]


@pytest.mark.full
def test_an_hour_of_which_one_chunk_is_dropped(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    execute(database, "SELECT set_chunk_time_interval('stocks_real_time', INTERVAL '40 minutes')")
    # Chunks of 40 minutes begin at every full even hour, and within every odd one.
    even = NOON - NOON % 7200
    frames = [price(timestamp=even + 600 * number) for number in range(12)]
    make_loader(take_lease("one"), frames).run()
    assert both(database) == [Hours(2, 12, 0, 0, [], [])] * 2
    run_retention(database, until=even + 2400)
    assert [(found.compared, found.stored, found.problems()) for found in both(database)] == [(2, 8, [])] * 2


@pytest.mark.full
def test_chunks_of_a_restore_are_compared(loaded: Database) -> None:
    """Their times of creation are those of the restore, later than all their rows were counted."""
    execute(
        loaded,
        """
        CREATE TABLE dumped AS SELECT * FROM stocks_real_time;
        SELECT drop_chunks('stocks_real_time', now() + INTERVAL '2 days');
        INSERT INTO stocks_real_time SELECT * FROM dumped;
        DROP TABLE dumped;
        """,
    )
    assert both(loaded) == [Hours(6, 18, 0, 0, [], [])] * 2
    execute(loaded, f"DELETE FROM stocks_real_time WHERE time = to_timestamp({NOON})")
    assert [found.differing for found in both(loaded)] == [1, 1]


@pytest.mark.full
def test_rows_that_are_there_again_count_again(loaded: Database) -> None:
    execute(loaded, "CREATE TABLE dumped AS SELECT * FROM stocks_real_time; TRUNCATE stocks_real_time")
    assert declare(loaded) == 18
    execute(loaded, "INSERT INTO stocks_real_time SELECT * FROM dumped; DROP TABLE dumped")
    assert compare(loaded, everything=True).differing == 6
    assert declare(loaded) == -18
    assert compare(loaded, everything=True).problems() == []
    assert rows(loaded, "SELECT sum(gone)::int FROM ticks_platform.feed_hour") == [(0,)]


@pytest.mark.full
def test_only_a_part_is_declared(loaded: Database) -> None:
    execute(loaded, "TRUNCATE stocks_real_time")
    since = datetime.fromtimestamp(NOON - DAY, timezone.utc)
    with loaded.transaction() as cursor:
        assert gone.find(cursor, "stocks_real_time", since=since, until=since + timedelta(minutes=5)).rows == 3
        done = gone.declare(
            cursor, "stocks_real_time", since=since, until=since + timedelta(hours=2), declared_by="a", reason="b"
        )
    assert (done.rows, done.rows_by_feed()) == (6, {"test": 6})
    assert compare(loaded, everything=True).missing[0]["rows"] == 12
    with loaded.transaction() as cursor, pytest.raises(gone.NotCountedError, match="does not count company"):
        gone.find(cursor, "company")


def test_old_hours_that_are_proven_are_read_again_in_turn(loaded: Database) -> None:
    assert compare(loaded).compared == 6
    execute(loaded, "UPDATE ticks_platform.feed_hour SET changed_at = now() - INTERVAL '3 hours'")
    execute(loaded, f"DELETE FROM stocks_real_time WHERE time = to_timestamp({NOON})")
    assert compare(loaded, fresh=timedelta(minutes=6)) == Hours(0, 0, 0, 0, [], [])
    execute(loaded, "UPDATE ticks_platform.proven_hour SET proven_at = proven_at - INTERVAL '6 minutes'")
    assert compare(loaded, fresh=timedelta(minutes=6)).differing == 1
    assert compare(loaded, everything=True).differing == 1


def test_a_feed_is_compared_in_an_hour_that_another_one_changed(loaded: Database) -> None:
    compare(loaded)
    execute(loaded, "UPDATE ticks_platform.feed_hour SET changed_at = now() - INTERVAL '3 hours'")
    execute(loaded, "INSERT INTO ticks_platform.feed SELECT 'other', provider, synthetic FROM ticks_platform.feed")
    execute(
        loaded,
        "INSERT INTO ticks_platform.feed_hour SELECT 'other', destination, hour, 1, now(), now(), now() "
        f"FROM ticks_platform.feed_hour WHERE hour = to_timestamp({NOON})",
    )
    execute(loaded, f"DELETE FROM stocks_real_time WHERE time = to_timestamp({NOON})")
    found = compare(loaded)
    assert [(row["feed"], row["loaded"], row["stored"]) for row in found.examples] == [("other", 1, 0), ("test", 3, 2)]


def test_only_the_newest_examples_are_listed(loaded: Database) -> None:
    execute(
        loaded,
        "INSERT INTO stocks_real_time (time, symbol, tick_id, feed, received_at) "
        "SELECT time - number * INTERVAL '1 hour', symbol, tick_id, 'by hand', received_at "
        f"FROM stocks_real_time CROSS JOIN generate_series(1, 13) AS number WHERE time = to_timestamp({NOON})",
    )
    found = compare(loaded, everything=True)
    assert (found.differing, len(found.examples)) == (13, 10)
    assert found.problems()[-1] == "and 3 more hours"


def test_hours_that_disagree_with_the_ledger_are_reported(loaded: Database) -> None:
    execute(loaded, f"UPDATE ticks_platform.feed_hour SET loaded = 4 WHERE hour = to_timestamp({NOON})")
    with loaded.autocommit() as cursor:
        (account,) = audit.accounts(cursor)
    assert account.problems() == ["feed test: 18 events loaded, but 19 in the hours of feed_hour"]


# The folder of journals.


def look(database: Database, folder: Path, *feeds: str) -> JournalFolder:
    with database.autocommit() as cursor:
        return audit.journal_folder(cursor, folder, feeds)


def make_journal(folder: Path, feed: str, frames: int) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{feed}.sqlite3"
    journal = Journal(path, feed=feed, synthetic=True)
    if frames:
        journal.append([Frame(price(), time.time_ns(), 1) for _ in range(frames)], epoch=1)
    journal.close()
    return path


def copy_journal(source: Path, target: Path) -> None:
    """Copy a journal in use with SQLite's backup, which includes the write-ahead log."""
    target.parent.mkdir(exist_ok=True)
    with sqlite3.connect(source) as original, sqlite3.connect(target) as copy:
        original.backup(copy)
    original.close()
    copy.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for journals, which does not exist yet."""
    return tmp_path / "journals"


def test_no_folder_is_no_problem(database: Database, folder: Path) -> None:
    assert look(database, folder, "test") == JournalFolder([], [], [], [])


def test_frames_in_an_orphaned_journal_are_reported(database: Database, folder: Path) -> None:
    path = make_journal(folder, "renamed", 5)
    make_journal(folder, "drained", 0)
    found = look(database, folder, "test")
    assert {orphan.feed: orphan.waiting for orphan in found.orphans} == {"renamed": 5, "drained": 0}
    (problem,) = [problem for orphan in found.orphans for problem in orphan.problems()]
    assert problem.startswith(f"5 frames wait in {path}, an orphaned journal of feed renamed")
    assert f"ticks replay {path} --feed NAME" in problem
    assert look(database, folder, "test", "renamed", "drained").orphans == []


def test_committed_frames_of_a_removed_feed_do_not_wait(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, tmp_path: Path, folder: Path
) -> None:
    """A copy still has them, but the checkpoint shows that they are loaded."""
    loader = make_loader(take_lease("one"), [price(), price()])
    copy_journal(tmp_path / "journal.sqlite3", folder / "a.sqlite3")
    assert [orphan.waiting for orphan in look(database, folder, "test").orphans] == [2]
    loader.run()
    (orphan,) = look(database, folder, "test").orphans
    assert (orphan.feed, orphan.waiting, orphan.problems()) == ("test", 0, [])


def test_a_known_feed_has_an_account(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, tmp_path: Path, folder: Path
) -> None:
    make_loader(take_lease("one"), [price(), price()]).run()
    copy_journal(tmp_path / "journal.sqlite3", folder / "test.sqlite3")
    assert look(database, folder, "test") == JournalFolder([audit.JournalAccount("test", 2, 2, 0, 0)], [], [], [])
    execute(database, "UPDATE ticks_platform.feed_checkpoint SET frames = 1")
    (account,) = look(database, folder, "test").accounts
    assert account.problems() == ["feed test: 2 frames appended to its journal, but 1 committed and 0 waiting"]


def test_unreadable_files_are_reported_beside_the_others(database: Database, folder: Path) -> None:
    shutil.copy(make_journal(folder, "renamed", 1), folder / "stocks.damaged-20260101T000000.sqlite3")
    (folder / "a.sqlite3").write_bytes(b"this is no database" * 100)
    (folder / "b.sqlite3").mkdir()
    for name in ("c", "d"):
        with sqlite3.connect(folder / f"{name}.sqlite3") as connection:
            connection.execute("CREATE TABLE journal (feed, journal_id)")
            connection.execute(f"PRAGMA application_id = {0x7469636B if name == 'c' else 1}")
        connection.close()
    found = look(database, folder, "test")
    assert [orphan.feed for orphan in found.orphans] == ["renamed"]
    assert len(found.unreadable) == 4
    for name, reason in zip("abcd", found.unreadable, strict=True):
        assert str(folder / f"{name}.sqlite3") in reason
    assert found.damaged == [folder / "stocks.damaged-20260101T000000.sqlite3"]
    (notice,) = found.notices()
    assert "stocks.damaged-20260101T000000.sqlite3 was set aside as damaged" in notice


def test_the_second_journal_belongs_to_the_feed(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, tmp_path: Path, folder: Path
) -> None:
    make_loader(take_lease("one"), [price(), price()]).run()
    copy_journal(tmp_path / "journal.sqlite3", folder / "test.2.sqlite3")
    copy_journal(tmp_path / "journal.sqlite3", folder / "test.3.sqlite3")
    found = look(database, folder, "test")
    assert found.accounts == [audit.JournalAccount("test", 2, 2, 0, 0)]
    assert [orphan.path.name for orphan in found.orphans] == ["test.3.sqlite3"]
