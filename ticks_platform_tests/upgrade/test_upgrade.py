"""An old database with its journals, under the code of today: it starts, its candles are rebuilt, and it continues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from ticks_platform import definitions
from ticks_platform.feeds.settings import load_settings
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.reload import reload_rejected
from ticks_platform.timescale import seals, sql_files
from ticks_platform.timescale.candles import reconciliation
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import unbalanced
from ticks_platform_tests.support.platform_database import PlatformDatabase
from ticks_platform_tests.support.workers import stopped_workers
from ticks_platform_tests.upgrade.dump import CANDLES, VIEWS, Dump, read
from ticks_platform_tests.upgrade.steps import (
    MAY_BE_EMPTY,
    Continued,
    Moment,
    check_continued,
    continue_,
    differing,
    dropped_afterwards,
    look,
    rebuild,
    renamed,
    same_after_rebuild,
    start,
    without_added,
)
from ticks_platform_tests.upgrade.structure import structure


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
def upgraded(
    dump: Dump, project: Path, database_url: str, platform_database: PlatformDatabase, server_url: str | None
) -> Iterator[Upgraded]:
    made = _structure_of_a_new_one(platform_database.reset())
    database = platform_database.drop()
    state = project / "state"
    with pytest.MonkeyPatch.context() as patch, dropped_afterwards(platform_database, native=server_url is not None):
        patch.setenv("TICKS_PROJECT_DIR", str(project))
        patch.setenv("TICKS_STATE_DIR", str(state))
        patch.setenv("TICKS_DATABASE_URL", database_url)
        with database.autocommit() as cursor, stopped_workers(cursor, native=server_url is not None):
            dump.load(database)
            loaded = look(database, dump, {})
        dump.restore_journals(state)
        platform = definitions.defs()
        start(platform)
        started = look(database, dump, renamed(dump, until_rebuilt=True))
        rebuild(platform, dry_run=True)
        tried = look(database, dump, renamed(dump, until_rebuilt=True))
        rebuild(platform, dry_run=False)
        first = look(database, dump, renamed(dump))
        said = start(platform)
        second = look(database, dump, renamed(dump))
        yield Upgraded(dump, database, made, state, loaded, started, tried, first, second, said)


def _structure_of_a_new_one(database: Database) -> list[str]:
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.RETENTION, *sql_files.NOTES)
        return structure(cursor)


def test_the_dump_is_loaded_as_it_was(upgraded: Upgraded) -> None:
    dump, loaded = upgraded.dump, upgraded.loaded
    assert differing({table: dump.rows(table) for table in dump.tables}, loaded.rows) == ""
    assert loaded.chunks == dump.chunks
    assert sum(chunk.is_compressed for chunk in loaded.chunks) >= 2
    late = [candle for candle in CANDLES if loaded.rows[candle] != dump.started(candle)]
    assert late == [*CANDLES], "ticks have come since their candles were refreshed"


def test_rows_and_candles_become_what_the_old_code_would_have_made_of_them(upgraded: Upgraded) -> None:
    """At once, and after the rebuild."""
    dump = upgraded.dump
    expected = {name: dump.started(name) for name in (*dump.tables, *CANDLES, *VIEWS)}
    assert {name for name, rows in expected.items() if not rows.values} <= MAY_BE_EMPTY
    assert differing(expected, without_added(dump, upgraded.started.rows)) == ""
    assert (
        differing(
            same_after_rebuild(dump, expected), same_after_rebuild(dump, without_added(dump, upgraded.first.rows))
        )
        == ""
    )


def test_a_dry_run_of_the_rebuild_changes_nothing(upgraded: Upgraded) -> None:
    assert upgraded.tried == upgraded.started


@pytest.mark.parametrize("candle", CANDLES)
def test_all_ticks_of_the_old_code_form_prices(upgraded: Upgraded, candle: str) -> None:
    """Of candles that are made of ticks, and of those that are carried over."""
    if not upgraded.dump.is_older:
        return  # its ticks have conditions
    with upgraded.database.transaction() as cursor:
        cursor.execute(f"SELECT count(*), count(*) FILTER (WHERE price_count = tick_count) FROM {candle}")
        candles, right = cursor.fetchone() or (0, 0)
    assert candles == right > 0


def test_the_structure_becomes_that_of_a_new_database(upgraded: Upgraded) -> None:
    """What a file makes in a new database it makes in an old one too: no column is forgotten, and none is left."""
    found, made = upgraded.first.structure, upgraded.made
    # Functions that only a start makes are not in it. An old policies.yaml keeps all notes.
    assert [line for line in made if line not in found and "delete_old_notes(" not in line] == []
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
    off = {"stock_aggregates_retention_policy"}
    if "feed_notes" not in (upgraded.dump.folder / "settings" / "policies.full.yaml").read_text(encoding="utf-8"):
        off.add("feed_notes_retention_policy")
    assert outcomes == {**dict.fromkeys(outcomes, "unchanged"), **dict.fromkeys(off, "off")}
    assert {shown[candle]["definition in the database"].value for candle in CANDLES} == {"as in its file"}
    with upgraded.database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000")
        assert cursor.fetchone() == (len(outcomes) - len(off),)


@pytest.fixture(scope="module")
def continued(upgraded: Upgraded, project: Path) -> Continued:
    return continue_(upgraded.database, upgraded.dump, upgraded.state, project, upgraded.second, renamed(upgraded.dump))


def test_what_was_gone_is_noted(upgraded: Upgraded) -> None:
    """By the old code, or by the upgrade where the old code did not note what retention had dropped."""
    dropped = len(read(upgraded.dump.folder / "dropped.csv").values)
    noted_by = "retention" if upgraded.dump.notes_what_is_gone else "upgrade"
    with upgraded.database.transaction() as cursor:
        cursor.execute("SELECT table_name, rows::int, declared_by FROM ticks_platform.feed_gone")
        assert cursor.fetchall() == [("stocks_real_time", dropped, noted_by)]
        cursor.execute("SELECT sum(gone)::int FROM ticks_platform.feed_hour")
        assert cursor.fetchone() == (dropped,)


def test_the_account_balances(upgraded: Upgraded, continued: Continued) -> None:
    assert continued.unbalanced == []
    assert continued.waited >= 30
    assert continued.left == 0


def test_hours_get_a_fingerprint_of_what_is_stored(upgraded: Upgraded, continued: Continued) -> None:
    assert continued.left == 0
    with upgraded.database.autocommit() as cursor:
        audit.fill_fingerprints(cursor)
        assert audit.hours(cursor).differing == 0
        proof = audit.proof(cursor)
    assert proof.proven == proof.hours > 10


def test_old_candles_are_proven_and_old_chunks_sealed(upgraded: Upgraded, continued: Continued) -> None:
    assert continued.left == 0
    with upgraded.database.autocommit() as cursor:
        assert reconciliation.reconcile(cursor).left.differing == 0
        proven = reconciliation.reconcile(cursor)
        # Those of chunks that the old code had sealed are looked at once a day.
        has_seals = "ticks_platform.sealed_chunk" in upgraded.dump.tables
        assert proven.found.candles > (30 if has_seals else 40)
        assert proven.found.differing == 0
        unsealed = seals.check(cursor)
        assert audit.hours(cursor, everything=True).differing == 0
        audit.fill_fingerprints(cursor)
        assert seals.stamp(cursor, unsealed) == len(unsealed.chunks)


def test_what_waited_becomes_what_the_old_code_would_have_made_of_it(upgraded: Upgraded, continued: Continued) -> None:
    """Each event once, whether it waited in one journal or in both of a pair, with the same tick_id."""
    check_continued(upgraded.dump, continued)


def test_nothing_else_of_the_past_is_touched(upgraded: Upgraded, continued: Continued) -> None:
    untouched = {"stock_quotes", "stock_aggregates", "company", "ticks_platform.feed", "ticks_platform.market_session"}
    assert [table for table in untouched if continued.added[table].values] == []


def test_an_exported_journal_is_replayed_once(continued: Continued) -> None:
    before, after = continued.replayed_again
    assert before == after


def test_what_the_old_code_rejected_can_be_loaded_again(
    upgraded: Upgraded, continued: Continued, project: Path
) -> None:
    """Where it has all bytes: an event from the future, whose arrival is corrected here. Frames with others stay."""
    assert continued.left == 0
    feed = load_settings(project / "feeds.yaml").feed("stocks")
    database = upgraded.database
    rejected = "SELECT count(*) FROM ticks_platform.rejected_event WHERE feed = 'stocks'"
    with database.transaction() as cursor:
        cursor.execute(rejected)
        (before,) = cursor.fetchone() or (0,)
        cursor.execute(
            "UPDATE ticks_platform.rejected_event SET received_at = received_at + INTERVAL '1 hour' "
            "WHERE reason LIKE 'the time is %% s after its arrival' AND feed = 'stocks' AND received_at < %s",
            (upgraded.dump.about["dumped_at"],),
        )
        assert cursor.rowcount >= 1
    done = reload_rejected(feed, database)
    assert done.read == before
    assert done.loaded >= 1
    with database.transaction() as cursor:
        cursor.execute(rejected)
        assert cursor.fetchone() == (before - done.loaded - done.duplicate,)
    assert reload_rejected(feed, database).loaded == 0
    assert unbalanced(database) == []
