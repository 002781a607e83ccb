"""The retention of notes about feeds: what is deleted, what stays, and the account that balances all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
import yaml

from ticks_platform.ingestion import audit
from ticks_platform.settings_file import SettingsError
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.policies.settings import Kind, Policy, Terms, load_policies
from ticks_platform_tests.support.workers import stopped_workers

if TYPE_CHECKING:
    from collections.abc import Callable

NOTES = Policy(Kind.NOTES, "feed_notes")


@pytest.fixture
def database(database: Database, server_url: str | None) -> Iterator[Database]:
    """A database whose own scheduler runs nothing meanwhile."""
    with database.autocommit() as cursor, stopped_workers(cursor, native=server_url is not None):
        yield database


@pytest.fixture
def terms(tmp_path: Path, repository_root: Path) -> Callable[..., Terms | None]:
    """What a policies.yaml with these notes declares."""

    def terms(**notes: Any) -> Terms | None:
        content = yaml.safe_load((repository_root / "policies.yaml").read_text(encoding="utf-8"))
        content["retention"]["feed_notes"].update(notes)
        file = tmp_path / "policies.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return load_policies(file).terms(NOTES)

    return terms


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def run(database: Database, declared: Terms | None) -> str:
    """Declare the policy and run it; returns what declaring it did."""
    with database.transaction() as cursor:
        applied = policy_jobs.apply(cursor, NOTES, declared)
    if applied.job_id is not None:
        with database.autocommit() as cursor:
            policies.run(cursor, applied.job_id)
    return applied.outcome


def fill(database: Database) -> None:
    """A feed with notes of 500 days ago and of today."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('stocks', 'test', true);
            INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar)
            VALUES ('stocks', 'A', now() - INTERVAL '600 days', 'always');

            -- Times of the one that is old; each has 250 states, of which the newest 200 stay.
            INSERT INTO ticks_platform.feed_session
            SELECT 'stocks', 1, 0, now() - INTERVAL '500 days' + n * INTERVAL '1 second', 'connecting', ''
            FROM generate_series(1, 250) AS n;

            INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, state)
            SELECT 'stocks', symbol, now() - age, now() - age + INTERVAL '10 minutes', 'disconnected', state
            FROM (VALUES
                ('A', INTERVAL '500 days', 'repaired'), ('B', INTERVAL '500 days', 'unrepairable'),
                ('C', INTERVAL '500 days', 'open'), ('D', INTERVAL '500 days', 'ignored'),
                ('A', INTERVAL '5 days', 'repaired'), ('E', INTERVAL '500 days', 'unrepairable')
            ) AS gap (symbol, age, state);

            -- The gaps of B and D have bars.
            INSERT INTO stock_aggregates
                (start_time, end_time, symbol, open_price, high_price, low_price, close_price, feed, received_at)
            SELECT minute, minute + INTERVAL '1 minute', symbol, 1, 1, 1, 1, 'stocks', now()
            FROM time_bucket(INTERVAL '1 minute', now() - INTERVAL '500 days' + INTERVAL '5 minutes') AS minute,
                unnest(ARRAY['B', 'D']) AS symbol;

            INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state, changed_at)
            SELECT 'stocks', symbol, 'trades', now() - age, now() - age + INTERVAL '10 minutes', state, now() - age
            FROM (VALUES
                ('A', INTERVAL '500 days', 'done'), ('B', INTERVAL '500 days', 'failed'),
                ('E', INTERVAL '500 days', 'wanted'), ('A', INTERVAL '5 days', 'done')
            ) AS repair (symbol, age, state);

            INSERT INTO ticks_platform.feed_checkpoint
                (journal_number, feed, journal_id, position, frames, frames_before, committed_at)
            OVERRIDING SYSTEM VALUE VALUES (7, 'stocks', gen_random_uuid(), 100, 5, 0, now());
            INSERT INTO ticks_platform.feed_ledger
                (feed, epoch, connection, first_received_at, last_received_at, frames, events, loaded, duplicate,
                rejected, control)
            VALUES ('stocks', 1, 0, now(), now(), 5, 5, 0, 0, 5, 0);
            INSERT INTO ticks_platform.rejected_event (feed, journal_number, position, received_at, reason, raw)
            SELECT 'stocks', 7, n, now() - n * INTERVAL '40 days', 'malformed', 'x'
            FROM generate_series(0, 4) AS n;
            """
        )


def test_old_notes_are_deleted_and_the_account_balances(database: Database, terms: Callable[..., Terms | None]) -> None:
    fill(database)
    assert run(database, terms()) == "created"
    gaps = "SELECT symbol, state FROM ticks_platform.feed_gap ORDER BY symbol, begins_at"
    # What was missed in the others is in no table.
    assert rows(database, gaps) == [
        ("A", "repaired"),
        ("B", "unrepairable"),
        ("C", "open"),
        ("D", "ignored"),
        ("E", "unrepairable"),
    ]
    # What B's gap has is shown in one_minute_candle_filled because of it, and because it was not repaired with trades.
    repairs = "SELECT symbol, state FROM ticks_platform.feed_repair ORDER BY symbol, begins_at"
    assert rows(database, repairs) == [("A", "done"), ("B", "failed"), ("E", "wanted")]
    assert rows(database, "SELECT count(*) FROM ticks_platform.feed_session") == [(200,)]
    assert rows(database, "SELECT count(*) FROM ticks_platform.rejected_event") == [(3,)]
    with database.transaction() as cursor:
        (account,) = audit.accounts(cursor)
    assert (account.rejected, account.events_set_aside, account.problems()) == (5, 5, [])
    assert run(database, terms()) == "unchanged"
    assert rows(database, "SELECT rejected_deleted FROM ticks_platform.feed") == [(2,)]


def test_what_is_off_stays(database: Database, terms: Callable[..., Terms | None]) -> None:
    fill(database)
    off = dict.fromkeys(("feed_session", "settled_gaps", "finished_repairs", "rejected_events"), "off")
    run(database, terms(**off))
    assert rows(database, "SELECT count(*) FROM ticks_platform.feed_gap") == [(6,)]
    assert rows(database, "SELECT count(*) FROM ticks_platform.rejected_event") == [(5,)]
    # One that is switched on by an edit of the file, and off again.
    assert run(database, terms(**{**off, "rejected_events": "100 days"})) == "altered"
    assert rows(database, "SELECT count(*) FROM ticks_platform.rejected_event") == [(3,)]
    assert rows(database, "SELECT count(*) FROM ticks_platform.feed_session") == [(250,)]
    with database.transaction() as cursor:
        declared = terms(**off)
        assert policy_jobs.drift(cursor, NOTES, declared) != []
        assert policy_jobs.apply(cursor, NOTES, declared).changes == [
            "rejected_events is 100 days, 0:00:00, declared none"
        ]
        assert policy_jobs.drift(cursor, NOTES, declared) == []
    assert run(database, None) == "removed"


def test_a_file_of_an_older_release_deletes_nothing(tmp_path: Path, repository_root: Path) -> None:
    content = yaml.safe_load((repository_root / "policies.yaml").read_text(encoding="utf-8"))
    del content["retention"]["feed_notes"]
    del content["dagster_history"]
    file = tmp_path / "policies.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert load_policies(file).terms(NOTES) is None


def test_ages_are_intervals(terms: Callable[..., Terms | None]) -> None:
    with pytest.raises(SettingsError, match=r"feed_notes\.settled_gaps: .*has to be a number"):
        terms(settled_gaps="a year")
    with pytest.raises(SettingsError, match=r"feed_notes\.settled_gaps: .*longer than can be counted"):
        terms(settled_gaps="99999999999999 days")


@pytest.mark.parametrize("runs", [True, 0, -1, "30 days", 1.5])
def test_what_dagster_keeps_is_a_number(tmp_path: Path, repository_root: Path, runs: object) -> None:
    """`runs: yes` would keep one."""
    content = yaml.safe_load((repository_root / "policies.yaml").read_text(encoding="utf-8"))
    content["dagster_history"]["runs"] = runs
    file = tmp_path / "policies.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"dagster_history\.runs"):
        load_policies(file)


def test_the_job_cannot_be_altered_into_nonsense(database: Database, terms: Callable[..., Terms | None]) -> None:
    with database.transaction() as cursor:
        applied = policy_jobs.apply(cursor, NOTES, terms())
    with pytest.raises(psycopg2.errors.RaiseException, match="intervals above zero"), database.transaction() as cursor:
        cursor.execute(
            'SELECT alter_job(%s, config => \'{"hypertable": "feed_notes", "settled_gaps": "-1 day"}\')',
            (applied.job_id,),
        )
