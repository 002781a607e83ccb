"""The checks of the account: ledger_balances, every_tick_is_there and journal_has_room, on a loss and without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.dagster import checked

Check = Callable[[str], dg.AssetCheckEvaluation]
CheckOne = Callable[..., dg.AssetCheckEvaluation]


@pytest.fixture
def check(platform: dg.Definitions, instance: dg.DagsterInstance, check_one: CheckOne) -> Check:
    """Runs a check of the account, and returns its evaluation."""

    def run(name: str) -> dg.AssetCheckEvaluation:
        if name != "every_tick_is_there":
            return check_one(name, "stocks_real_time")
        result = platform.resolve_job_def("check_every_tick").execute_in_process(instance=instance)
        return next(each for each in result.get_asset_check_evaluations() if each.check_name == name)

    return run


@pytest.fixture
def journals(project: Path) -> Path:
    """The folder of the journals."""
    folder = project / "state" / "journal"
    folder.mkdir(parents=True)
    return folder


def wait_in_journal(folder: Path, feed: str, frames: int, *, size: int = 10) -> str:
    """Frames that wait in the journal of a feed; its id."""
    journal = Journal(folder / f"{feed}.sqlite3", feed=feed, synthetic=True)
    journal.append([Frame(b"x" * size, time.time_ns(), 1) for _ in range(frames)], epoch=1)
    journal.close()
    return journal.journal_id


def store(database: Database, ticks: int) -> None:
    """Ticks of two hours ago, with an account of them that balances."""
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO ticks_platform.feed VALUES ('stocks', 'twelve_data', true)")
        cursor.execute(
            """
            INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
            SELECT date_trunc('hour', now()) - INTERVAL '2 hours', 'AAPL', 1, gen_random_uuid(), 'stocks', now()
            FROM generate_series(1, %(ticks)s);
            INSERT INTO ticks_platform.feed_hour
            SELECT 'stocks', 'stocks_real_time', date_trunc('hour', now()) - INTERVAL '2 hours', %(ticks)s, now(),
                clock_timestamp(), clock_timestamp();
            INSERT INTO ticks_platform.feed_ledger
                (feed, epoch, connection, first_received_at, last_received_at,
                 frames, events, loaded, replaced, duplicate, rejected, control)
            VALUES ('stocks', 1, 1, now(), now(), 0, %(ticks)s, %(ticks)s, 0, 0, 0, 0);
            """,
            {"ticks": ticks},
        )


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("name", ["ledger_balances", "every_tick_is_there", "journal_has_room"])
def test_nothing_is_in_order(check: Check, name: str) -> None:
    assert check(name).passed


@pytest.mark.parametrize("name", ["ledger_balances", "every_tick_is_there"])
def test_a_deleted_tick_is_found(database: Database, check: Check, name: str) -> None:
    store(database, 5)
    evaluation = check(name)
    assert evaluation.passed
    assert evaluation.metadata["hours compared"].value == 1
    assert evaluation.metadata["rows in those hours"].value == 5
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM stocks_real_time WHERE tick_id IN (SELECT tick_id FROM stocks_real_time LIMIT 1)")
    evaluation = check(name)
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    assert "5 events loaded of the hour" in (evaluation.description or "")
    assert "4 rows in stocks_real_time" in (evaluation.description or "")
    assert evaluation.metadata["hours that differ"].value == 1


@pytest.mark.parametrize("name", ["ledger_balances", "every_tick_is_there"])
def test_official_prices_and_corrections_are_counted(database: Database, check: Check, name: str) -> None:
    store(database, 5)
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO tick_correction (correction_id, time, symbol, trade_id, feed, kind, known_at, source)
            SELECT gen_random_uuid(), now() - INTERVAL '3 hours', 'AAPL', number, 'stocks', 'cancelled', now(), ''
            FROM generate_series(1, 3) AS number;
            INSERT INTO official_price (time, symbol, session, kind, price, exchange, is_primary, feed, received_at)
            SELECT now() - INTERVAL '3 hours', 'AAPL', current_date, kind, 1, '12', true, 'stocks', now()
            FROM unnest('{open, close}'::text[]) AS kind;
            INSERT INTO ticks_platform.feed_hour
            SELECT 'stocks', name, date_trunc('hour', now()) - INTERVAL '3 hours', number, now(), now(),
                clock_timestamp()
            FROM (VALUES ('tick_correction', 3), ('official_price', 2)) AS counted (name, number);
            UPDATE ticks_platform.feed_ledger SET loaded = 10, events = 10;
            """
        )
    evaluation = check(name)
    assert evaluation.passed, evaluation.description
    assert evaluation.metadata["hours compared"].value == 3
    assert evaluation.metadata["rows in those hours"].value == 10
    with database.transaction() as cursor:
        # A later one replaces it.
        cursor.execute("UPDATE official_price SET time = now() - INTERVAL '1 hour' WHERE kind = 'close'")
    assert check(name).passed
    for table, rows in (("official_price", 1), ("tick_correction", 2)):
        with database.transaction() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} LIMIT 1)")
        evaluation = check(name)
        assert not evaluation.passed
        assert f"{rows} rows in {table}" in (evaluation.description or "")


def test_dropped_chunks_are_an_error_until_they_are_declared(
    database: Database, check: Check, platform: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    store(database, 5)
    with database.transaction() as cursor:
        cursor.execute("SELECT drop_chunks('stocks_real_time', now() + INTERVAL '2 days')")
        assert cursor.rowcount == 1
    for name in ("ledger_balances", "every_tick_is_there"):
        evaluation = check(name)
        assert not evaluation.passed
        assert evaluation.severity is dg.AssetCheckSeverity.ERROR
        assert "5 rows of stocks_real_time" in (evaluation.description or "")
        assert "`ticks declare gone stocks_real_time" in (evaluation.description or "")
    job = platform.resolve_job_def("declare_gone")
    for dry_run in (True, False):
        config = {"table": "stocks_real_time", "reason": "a test", "dry_run": dry_run}
        run_config = {"ops": {"declare_rows_gone": {"config": config}}}
        result = job.execute_in_process(instance=instance, run_config=run_config)
        assert result.success
        assert check("ledger_balances").passed is not dry_run
    assert check("every_tick_is_there").passed
    with database.transaction() as cursor:
        cursor.execute("SELECT rows::int, reason FROM ticks_platform.feed_gone")
        assert cursor.fetchall() == [(5, "a test")]


def test_hours_that_disagree_with_the_ledger_are_found(database: Database, check: Check) -> None:
    store(database, 5)
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_ledger SET loaded = 6, events = 6")
    evaluation = check("ledger_balances")
    assert not evaluation.passed
    assert "feed stocks: 6 events loaded, but 5 in the hours of feed_hour" in (evaluation.description or "")


@pytest.mark.usefixtures("database")
def test_frames_of_a_removed_feed_are_reported(check: Check, journals: Path) -> None:
    wait_in_journal(journals, "oldname", 3)
    for name, severity in (
        ("ledger_balances", dg.AssetCheckSeverity.ERROR),
        ("journal_has_room", dg.AssetCheckSeverity.WARN),
    ):
        evaluation = check(name)
        assert not evaluation.passed
        assert evaluation.severity is severity
        assert "3 frames wait in" in (evaluation.description or "")
        assert "Add the feed again" in (evaluation.description or "")
    assert evaluation.metadata["bytes in oldname.sqlite3"].value == 30
    (journals / "oldname.sqlite3").unlink()
    assert check("ledger_balances").passed


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("name", ["ledger_balances", "journal_has_room"])
def test_a_journal_that_cannot_be_read_is_reported(check: Check, journals: Path, name: str) -> None:
    (journals / "stocks.sqlite3").write_bytes(b"no database at all" * 100)
    evaluation = check(name)
    assert not evaluation.passed
    assert "stocks.sqlite3" in (evaluation.description or "")


def test_a_journal_of_a_machine_that_is_gone_is_an_error_until_it_is_declared_lost(
    database: Database, check: Check, platform: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO ticks_platform.feed VALUES ('stocks', 'twelve_data', true)")
        cursor.execute(
            "INSERT INTO ticks_platform.feed_checkpoint (feed, journal_id, position, frames, frames_before, "
            "committed_at, host, machine, file, heard_at, heard_from, heard_to, heard_frames, is_open) "
            "SELECT 'stocks', gen_random_uuid(), 0, 0, 0, now(), 'lima', 'a1', '/j/stocks.sqlite3', "
            "'2026-11-26 08:00:00+00', 0, 70000, 3913, true RETURNING journal_id::text"
        )
        (journal,) = cursor.fetchone() or ("",)
    evaluation = check("ledger_balances")
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    assert (evaluation.description or "").startswith(
        "3,913 frames (70,000 bytes, or more, since its run did not end) wait in /j/stocks.sqlite3 on lima (machine "
        "a1), a journal of feed stocks not found here, last heard of at 2026-11-26 08:00:00 UTC."
    )
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_checkpoint SET frames = 3913, position = 70000")
    evaluation = check("ledger_balances")
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    job = platform.resolve_job_def("declare_lost")
    for dry_run in (True, False):
        config = {"journal": journal, "reason": "its disk is broken", "dry_run": dry_run}
        run_config = {"ops": {"declare_journal_lost": {"config": config}}}
        assert job.execute_in_process(instance=instance, run_config=run_config).success
        with database.transaction() as cursor:
            cursor.execute("SELECT lost_reason FROM ticks_platform.feed_checkpoint")
            assert cursor.fetchall() == [(None if dry_run else "its disk is broken",)]


@pytest.mark.usefixtures("database")
def test_a_journal_set_aside_is_a_warning(check: Check, journals: Path) -> None:
    (journals / "stocks.damaged-20260101T000000.sqlite3").write_bytes(b"")
    evaluation = check("ledger_balances")
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    assert "set aside as damaged" in (evaluation.description or "")
    assert check("journal_has_room").passed


@pytest.mark.parametrize(
    ("megabytes", "passed", "severity"),
    [(1, False, dg.AssetCheckSeverity.ERROR), (3, False, dg.AssetCheckSeverity.WARN), (100, True, None)],
)
def test_a_filling_journal_is_found(
    database: Database,
    project: Path,
    journals: Path,
    load: Callable[[], dg.Definitions],
    instance: dg.DagsterInstance,
    megabytes: int,
    passed: bool,
    severity: dg.AssetCheckSeverity | None,
) -> None:
    journal_id = wait_in_journal(journals, "stocks", 2, size=1 << 20)
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO ticks_platform.feed VALUES ('stocks', 'twelve_data', true)")
        cursor.execute(
            "INSERT INTO ticks_platform.feed_checkpoint "
            "(feed, journal_id, position, frames, frames_before, committed_at) VALUES ('stocks', %s, 0, 0, 0, now())",
            (journal_id,),
        )
    file = project / "feeds.yaml"
    file.write_text(
        file.read_text(encoding="utf-8").replace(
            "  stocks:\n", f"  stocks:\n    journal: {{max_megabytes: {megabytes}}}\n"
        ),
        encoding="utf-8",
    )
    (evaluation,) = checked(load(), instance, "journal_has_room", "stocks_real_time")
    assert evaluation.passed is passed
    if severity is not None:
        assert evaluation.severity is severity
        assert "stocks: " in (evaluation.description or "")
