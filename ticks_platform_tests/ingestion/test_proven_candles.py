"""Which candles are proven, and why others are not."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pandas as pd
import psycopg2
import pytest
import sqlalchemy as sa

import ticks_platform
from ticks_platform.ingestion import audit
from ticks_platform.ingestion import lease as leases
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import primary_feeds, proving, reconciliation
from ticks_platform.timescale.candles.primary_feeds import Feeds
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import refresh, tamper
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, price, rows

HOUR = int(time.time()) // 3_600 * 3_600 - 5 * 3_600
"""Begin of an hour that is over."""


def prove(database: Database, *, ledger: bool = True) -> dict[str, datetime]:
    """What the schedule does, without its pauses; ends of the feeds."""
    with database.autocommit() as cursor:
        if ledger:
            audit.hours(cursor)
        untils = proving.received_until(cursor, patience=0.5)
        proving.record(cursor, untils, reconciliation.reconcile(cursor))
    return untils


class Feed:
    """The feed `test`, whose symbols were received all the time."""

    def __init__(self, database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
        self.database = database
        self._take_lease = take_lease
        self._make_loader = make_loader

    def load(self, *at: int, symbol: str = "AAPL", every: int = 100) -> None:
        """Three ticks a second apart from each of these times, by an owner that ends."""
        frames = [price(symbol, timestamp=one + second, price=every + second) for one in at for second in range(3)]
        lease = self._take_lease(f"owner {time.monotonic_ns()}")
        self._make_loader(lease, frames).run()
        with self.database.transaction() as cursor:
            leases.release(cursor, lease)

    def execute(self, statement: str) -> None:
        with self.database.transaction() as cursor:
            cursor.execute(statement)

    def proofs(self, every: str = "1m", columns: str = "proof") -> dict[datetime, Any]:
        """Of each bucket."""
        found = rows(self.database, f"SELECT bucket, {columns} FROM proven_candle WHERE every = '{every}' ORDER BY 1")
        return {row[0]: row[1] if len(row) == 2 else row[1:] for row in found}


@pytest.fixture
def feed(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> Feed:
    found = Feed(database, take_lease, make_loader)
    found.load(HOUR + 60, HOUR + 1_800)
    found.execute(
        "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
        "VALUES ('test', 'AAPL', now() - INTERVAL '3 days', 'always')"
    )
    refresh(database)
    return found


@pytest.fixture
def proven(feed: Feed) -> Feed:
    prove(feed.database)
    assert set(feed.proofs().values()) == {"proven"}
    return feed


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(HOUR + seconds, timezone.utc)


def test_candles_are_proven_once_they_and_their_ticks_are_compared(feed: Feed) -> None:
    assert feed.proofs() == {at(60): "not_checked", at(1_800): "not_checked"}
    assert feed.proofs("1h") == {at(0): "not_checked"}
    before = datetime.now(timezone.utc)
    prove(feed.database)
    minutes, hours = feed.proofs(columns="proof, proven_at"), feed.proofs("1h", "proof, proven_at")
    assert [minutes[at(60)][0], minutes[at(1_800)][0], hours[at(0)][0]] == ["proven"] * 3
    assert all(
        before - timedelta(seconds=5) <= proven_at <= datetime.now(timezone.utc) for _, proven_at in minutes.values()
    )
    assert hours[at(0)][1] == min(proven_at for _, proven_at in minutes.values())


def test_a_late_tick_reopens_and_it_is_proven_again_later(proven: Feed) -> None:
    before = proven.proofs(columns="proven_at")
    proven.load(HOUR + 90)
    assert proven.proofs() == {at(60): "not_checked", at(1_800): "not_checked"}, (
        "the account of the hour is another one"
    )
    assert proven.proofs("1h") == {at(0): "not_checked"}
    # Refreshed by the first, and compared with its ticks by the second.
    prove(proven.database)
    prove(proven.database)
    after = proven.proofs(columns="proof, proven_at, tick_count::int")
    assert after[at(60)][0] == "proven"
    assert after[at(60)][2] == 6
    assert after[at(60)][1] > before[at(60)]
    assert proven.proofs("1h", "proof, tick_count::int") == {at(0): ("proven", 9)}


def test_a_gap_is_a_gap_until_it_is_repaired_with_ticks(proven: Feed) -> None:
    proven.execute(
        f"INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
        f"VALUES ('test', 'AAPL', to_timestamp({HOUR + 70}), to_timestamp({HOUR + 75}), 'disconnected')"
    )
    gap = {at(60): "gap", at(1_800): "proven"}
    assert (proven.proofs(), proven.proofs("1h")) == (gap, {at(0): "gap"})
    proven.execute("UPDATE ticks_platform.feed_gap SET state = 'unrepairable'")
    assert proven.proofs() == gap
    proven.execute(
        "UPDATE ticks_platform.feed_gap SET state = 'repaired', "
        "detail = 'repaired by 3 minute bars of the provider; the ticks are lost'"
    )
    assert proven.proofs() == gap
    proven.execute("UPDATE ticks_platform.feed_gap SET detail = 'repaired by 3 trades'")
    assert (set(proven.proofs().values()), proven.proofs("1h")) == ({"proven"}, {at(0): "proven"})


@pytest.mark.full
def test_what_was_asked_for_later_was_not_received(proven: Feed) -> None:
    """The minute in which a symbol was first asked for, and its hour, have a part of the trades alone."""
    proven.execute(f"UPDATE ticks_platform.feed_symbol SET wanted_from = to_timestamp({HOUR + 61})")
    assert (proven.proofs(), proven.proofs("1h")) == ({at(60): "gap", at(1_800): "proven"}, {at(0): "gap"})
    proven.execute(
        f"INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state) "
        f"VALUES ('test', 'AAPL', 'trades', to_timestamp({HOUR}), to_timestamp({HOUR + 100}), 'done')"
    )
    assert (set(proven.proofs().values()), proven.proofs("1h")) == ({"proven"}, {at(0): "proven"})


@pytest.mark.full
@pytest.mark.parametrize("what", ["price = 500", "updates = 8"])
def test_a_tick_that_is_not_what_was_loaded_makes_its_hour_differ(proven: Feed, what: str) -> None:
    proven.execute(f"UPDATE stocks_real_time SET {what} WHERE price = 102 AND time < to_timestamp({HOUR + 600})")
    with proven.database.autocommit() as cursor:
        audit.hours(cursor)
    assert set(proven.proofs().values()) == {"differs"}
    assert proven.proofs("1h") == {at(0): "differs"}


@pytest.mark.full
def test_a_candle_that_no_refresh_mends_differs(proven: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of a length that is made of right ones."""
    assert tamper(proven.database, "UPDATE {table} SET close = 7") == 2
    monkeypatch.setattr(reconciliation, "_refresh", lambda *_args, **_options: None)
    prove(proven.database)
    assert set(proven.proofs().values()) == {"differs"}
    monkeypatch.undo()
    prove(proven.database)
    prove(proven.database)
    assert set(proven.proofs().values()) == {"proven"}


@pytest.mark.full
def test_an_hour_that_its_minutes_do_not_make_differs(feed: Feed) -> None:
    name = rows(
        feed.database,
        (
            "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) "
            "FROM timescaledb_information.continuous_aggregates WHERE view_name = 'one_hour_candle'"
        ),
    )[0][0]
    feed.execute(f"UPDATE {name} SET close = 7")
    prove(feed.database)
    assert set(feed.proofs().values()) == {"proven"}
    assert feed.proofs("1h") == {at(0): "differs"}
    refresh(feed.database)
    with feed.database.autocommit() as cursor:
        reconciliation.reconcile_levels(cursor, reconciliation.ONE_HOUR)
    prove(feed.database)
    assert feed.proofs("1h") == {at(0): "proven"}


def test_what_waits_in_a_journal_keeps_new_candles_from_being_proven(feed: Feed) -> None:
    """Frames that were received may have ticks of any candle; what was proven before stays so."""
    feed.execute(
        "UPDATE ticks_platform.feed_checkpoint SET heard_at = now(), heard_from = 0, heard_to = position + 10, "
        "heard_frames = frames_before + frames + 1, is_open = true"
    )
    assert prove(feed.database) == {}
    assert set(feed.proofs().values()) == {"not_checked"}
    feed.execute("UPDATE ticks_platform.feed_checkpoint SET lost_at = now(), lost_by = 'me', lost_reason = 'a test'")
    prove(feed.database)
    assert set(feed.proofs().values()) == {"proven"}
    feed.execute("UPDATE ticks_platform.feed_checkpoint SET lost_at = NULL")
    assert set(feed.proofs().values()) == {"proven"}, "as of its moment"


@pytest.mark.full
def test_an_owner_that_tells_no_more_is_taken_at_its_word_of_before(feed: Feed) -> None:
    feed.execute(
        f"UPDATE ticks_platform.feed_checkpoint SET heard_at = to_timestamp({HOUR + 1_700}), heard_from = 0, "
        "heard_to = position, heard_frames = frames_before + frames, is_open = true"
    )
    assert prove(feed.database) == {"test": at(1_700 - 30)}
    assert feed.proofs() == {at(60): "proven", at(1_800): "not_checked"}


@pytest.mark.full
def test_what_is_not_over_is_open(feed: Feed) -> None:
    feed.load(int(time.time()))
    assert list(feed.proofs().values())[-1] == "open"
    assert feed.proofs("1d").popitem()[1] == "open"


def test_an_hour_that_is_not_over_is_proven_as_it_comes(feed: Feed) -> None:
    """By the hash of its candles, while its account still changes."""

    def prove_a_minute_later() -> None:
        """The last minute of what has come is read, and not kept."""
        prove(feed.database)
        # Within its ten minutes: parts that overlap would be read twice.
        feed.execute(
            "UPDATE ticks_platform.proven_slice SET ends_at = least(ends_at + INTERVAL '1 minute', "
            "time_bucket(INTERVAL '10 minutes', begins_at) + INTERVAL '10 minutes') "
            "WHERE ends_at - begins_at < INTERVAL '10 minutes'"
        )
        prove(feed.database, ledger=False)

    minute = int(time.time()) // 60 * 60 - 240
    feed.load(minute)
    refresh(feed.database)
    prove_a_minute_later()
    begin = datetime.fromtimestamp(minute, timezone.utc)
    assert feed.proofs()[begin] == "proven"
    feed.load(int(time.time()) // 60 * 60)
    assert feed.proofs()[begin] == "proven"
    feed.load(minute + 30)
    refresh(feed.database)
    assert feed.proofs()[begin] == "not_checked"
    prove_a_minute_later()
    assert feed.proofs(columns="proof, tick_count::int")[begin] == ("proven", 6)


@pytest.mark.full
@pytest.mark.parametrize("every", ["1m", "5m", "15m", "90m", "2h"])
def test_candles_of_any_length_say_what_is_proven(proven: Feed, every: str) -> None:
    """Those of a length that is not stored are proven where what they are made of is."""
    proven.execute(
        f"INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
        f"VALUES ('test', 'AAPL', to_timestamp({HOUR + 1_800}), to_timestamp({HOUR + 1_801}), 'disconnected')"
    )
    found = ticks_platform.candles("AAPL", every, database=proven.database, proof=True)
    length = pd.Timedelta(every).total_seconds()
    # Whether both minutes are in one bucket of an hour and a half depends on the hour.
    begins = {(HOUR + second) // length * length for second in (60, 1_800)}
    assert {begin.timestamp(): proof for begin, proof in found["proof"].items()} == {
        begin: "gap" if begin <= HOUR + 1_800 < begin + length else "proven" for begin in begins
    }
    assert found["proven_at"].notna().tolist() == [each == "proven" for each in found["proof"]]
    only = ticks_platform.candles("AAPL", every, database=proven.database, proven=True)
    assert only["proof"].tolist() == ["proven"] * (found["proof"] == "proven").sum()
    assert only.dtypes.equals(found.dtypes)


@pytest.mark.full
def test_days_of_trading_and_of_the_calendar_say_what_is_proven(proven: Feed) -> None:
    for every in ("1d", "session"):
        found = ticks_platform.candles("AAPL", every, database=proven.database, proof=True)
        assert set(found["proof"]) <= {"open", "proven", "not_checked"}
        assert len(found)
        before = ticks_platform.candles("AAPL", every, end="2000-01-01", database=proven.database, proven=True)
        assert before.dtypes.equals(found.dtypes)


def test_a_provider_without_corrections_makes_candles_final_a_day_after_their_day(proven: Feed) -> None:
    """One that has them does when the day is trued up, but for the minutes that still differ."""
    proven.load(HOUR - 3 * 86_400)
    proven.execute("UPDATE ticks_platform.feed_symbol SET wanted_from = now() - INTERVAL '30 days'")
    refresh(proven.database)
    prove(proven.database)
    prove(proven.database)
    old = at(-3 * 86_400)
    assert proven.proofs()[old] == "proven", "it is not known whether the feed is trued up"
    proven.execute("UPDATE ticks_platform.feed SET trues_up = false")
    assert proven.proofs()[old] == "final"
    assert proven.proofs()[at(60)] == "proven"
    proven.execute("UPDATE ticks_platform.feed SET trues_up = true")
    assert proven.proofs()[old] == "proven"
    proven.execute(
        "INSERT INTO ticks_platform.feed_true_up "
        "(feed, day, symbol, mode, begins_at, ends_at, state, differed, still_differing) "
        f"VALUES ('test', '2026-01-05', 'AAPL', 'bars', to_timestamp({HOUR}) - INTERVAL '4 days', "
        f"to_timestamp({HOUR}) - INTERVAL '2 days', 'done', ARRAY[to_timestamp({HOUR}) - INTERVAL '3 days'], 1)"
    )
    assert proven.proofs()[old] == "proven"
    proven.execute("UPDATE ticks_platform.feed_true_up SET still_differing = 0")
    assert proven.proofs()[old] == "final"
    assert proven.proofs("1h")[at(-3 * 86_400)] == "final"
    # What waits elsewhere may still come.
    proven.execute(
        "UPDATE ticks_platform.feed_checkpoint SET heard_at = now(), heard_to = position, heard_from = 0, "
        "heard_frames = frames_before + frames, is_open = true"
    )
    assert proven.proofs()[old] == "proven"


def test_days_are_those_of_utc_whatever_the_zone_of_the_session(feed: Feed) -> None:
    """The platform's sessions are in UTC, a user's own need not be. In New York, this Sunday had 25 hours."""
    sunday = int(datetime(2024, 11, 3, tzinfo=timezone.utc).timestamp())
    monday = sunday + 86_400
    feed.load(sunday + 1_800, monday + 1_800, monday + 43_200)
    feed.execute(
        "UPDATE ticks_platform.feed_symbol SET wanted_from = '2024-01-01';"
        "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) VALUES "
        f"('test', 'AAPL', to_timestamp({sunday - 86_400}), to_timestamp({monday + 43_201}), 'disconnected')"
    )
    refresh(feed.database)
    engine = sa.create_engine(
        "postgresql+psycopg2://",
        creator=lambda: psycopg2.connect(feed.database.url(), options="-c TimeZone=America/New_York"),
        poolclass=sa.NullPool,
    )
    with engine.connect() as connection:
        proofs = {
            (every, bucket.timestamp()): proof
            for every, bucket, proof in connection.execute(sa.text("SELECT every, bucket, proof FROM proven_candle"))
        }
        reasons = "SELECT bucket FROM ticks_platform.candle_reasons('AAPL', '2024-11-02+00', '2024-11-06+00', '1 day')"
        why = "SELECT ticks_platform.why_no_candle('AAPL', '2024-11-03 12:00+00', '1 day')"
        assert connection.execute(sa.text(why)).all() == [("candle",)]
        buckets = [bucket.astimezone(timezone.utc).hour for (bucket,) in connection.execute(sa.text(reasons))]
    assert proofs["1m", monday + 43_200] == "gap", "it began days before"
    assert proofs["1d", sunday] == "gap"
    for every in ("1d", "session"):
        read = ticks_platform.candles("AAPL", every, end="2025-01-01", database=engine, proof=True)
        assert read["proof"].tolist() == ["gap", "gap"]
        assert read["tick_count"].tolist() == [3, 6], "each in its day"
    assert buckets == [0, 0, 0, 0]


def test_candles_from_before_a_change_of_the_primary_feed_are_not_proven_until_it_is_applied(proven: Feed) -> None:
    """They are made of the ticks of the feed that was primary then, which may have had a gap."""
    feeds = Feeds(["other"], ["test"], {"other": lambda _symbol: True})

    def register(**primary: bool) -> None:
        with proven.database.transaction() as cursor:
            for name, candles in primary.items():
                leases.register_feed(cursor, feed=name, provider="twelve_data", synthetic=True, candles=candles)

    def note_applied() -> None:
        with proven.database.transaction() as cursor:
            primary_feeds.note_applied(cursor, feeds, datetime.now(timezone.utc) + timedelta(minutes=1))

    register(other=False, test=True)
    proven.execute(
        "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
        "VALUES ('other', 'AAPL', now() - INTERVAL '3 days', 'always')"
    )
    assert set(proven.proofs().values()) == {"proven"}, "nothing has changed"
    register(test=False, other=True)
    assert set(proven.proofs().values()) == {"not_checked"}
    assert set(proven.proofs("1h").values()) == {"not_checked"}
    register(test=True, other=False)
    assert set(proven.proofs().values()) == {"not_checked"}
    note_applied()
    assert set(proven.proofs().values()) == {"proven"}
    register(test=True, other=False)
    assert set(proven.proofs().values()) == {"proven"}


def test_the_column_of_changes_is_added_to_an_older_table(proven: Feed) -> None:
    with proven.database.transaction() as cursor:
        cursor.execute("DROP VIEW proven_candle, ticks_platform.symbol_proof")
        cursor.execute("ALTER TABLE ticks_platform.feed DROP COLUMN candles_changed_at")
        sql_files.apply(cursor, "schema/feed.sql", "schema/symbol_proof.sql", "candles/proven_candle.sql")
    assert set(proven.proofs().values()) == {"proven"}


@pytest.mark.parametrize("every", ["1m", "1h", "1d", "session"])
def test_the_proofs_of_one_symbol_are_read_without_those_of_all_others(feed: Feed, every: str) -> None:
    """A function that is volatile in what the view reads would have them read first, and searched for each candle."""
    query = f"EXPLAIN SELECT proof FROM proven_candle WHERE every = '{every}' AND symbol = 'AAPL'"
    plan = "\n".join(line for (line,) in rows(feed.database, query))
    assert "feed_symbol" in plan
    assert "CTE known" not in plan, plan
