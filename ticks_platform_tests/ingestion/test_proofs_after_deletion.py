"""What retention, a declaration or a move of a symbol deletes makes no candle proven or final that was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from ticks_platform.ingestion import audit
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.timescale import gone, renames, sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.test_proven_candles import HOUR, Feed, at, prove
from ticks_platform_tests.support.candles import refresh
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, rows

OLD = HOUR // 86_400 * 86_400 - 5 * 86_400 + 12 * 3_600
"""Noon of a day whose ticks retention drops."""

NOTES = {"feed_session": "1 hour", "settled_gaps": "1 hour", "finished_repairs": "1 hour", "rejected_events": "1 hour"}


def delete_notes(feed: Feed) -> None:
    with feed.database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.NOTES)
        cursor.execute("UPDATE ticks_platform.feed_repair SET changed_at = now() - INTERVAL '2 hours'")
    for _ in range(2):
        feed.execute(f"CALL ticks_platform.delete_old_notes(0, '{json.dumps(NOTES)}')")


def drop_chunks(feed: Feed) -> None:
    with feed.database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.RETENTION)
    with feed.database.autocommit() as cursor:
        cursor.execute(
            'CALL ticks_platform.drop_old_chunks(0, \'{"hypertable": "stocks_real_time", "drop_after": "50 hours"}\')'
        )


def gap(
    begin: int, end: int, state: str = "unrepairable", detail: str = "", symbol: str = "AAPL", cause: str = "stopped"
) -> str:
    return (
        "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, state, detail) VALUES "
        f"('test', '{symbol}', to_timestamp({begin}), to_timestamp({end}), '{cause}', '{state}', '{detail}');"
    )


def fetched(begin: int, end: int, symbol: str = "AAPL", kind: str = "trades") -> str:
    return (
        "INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state) VALUES "
        f"('test', '{symbol}', '{kind}', to_timestamp({begin}), to_timestamp({end}), 'done');"
    )


def made(database: Database, take_lease: TakeLease, make_loader: LoaderOf, *times: int) -> Feed:
    """The feed `test` with ticks of these times, which are proven."""
    found = Feed(database, take_lease, make_loader)
    found.load(*times)
    found.execute(
        "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
        "VALUES ('test', 'AAPL', now() - INTERVAL '30 days', 'always')"
    )
    refresh(database)
    prove(database)
    prove(database)
    assert set(found.proofs().values()) == {"proven"}
    return found


@pytest.fixture
def proven(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> Feed:
    return made(database, take_lease, make_loader, HOUR + 60, HOUR + 1_800)


@pytest.fixture
def old(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> Feed:
    """Also hours and days are proven."""
    found = made(database, take_lease, make_loader, OLD + 60, OLD + 1_800)
    assert set(found.proofs("1h").values()) | set(found.proofs("1d").values()) == {"proven"}
    return found


def test_what_was_not_filled_is_not_proven_once_its_notes_are_old(proven: Feed) -> None:
    bars = "repaired by 1 minute bars of the provider; the ticks are lost"
    proven.execute(
        gap(HOUR + 70, HOUR + 75)
        + gap(HOUR + 75, HOUR + 80, "ignored", cause="switched_off")
        + gap(HOUR + 1_790, HOUR + 1_801, "repaired", bars)
        + gap(HOUR + 3_000, HOUR + 3_030, "repaired", "repaired by 4 trades")
    )
    before = proven.proofs(), proven.proofs("1h")
    assert set(before[0].values()) | set(before[1].values()) == {"gap"}
    why = f"SELECT ticks_platform.why_no_candle('AAPL', to_timestamp({HOUR + 1_760}))"
    assert rows(proven.database, why) == [("no_trade",)]
    proven.execute(gap(HOUR + 1_761, HOUR + 1_762))
    assert rows(proven.database, why) == [("feed_gap",)]
    delete_notes(proven)
    assert (proven.proofs(), proven.proofs("1h")) == before
    assert rows(proven.database, why) == [("feed_gap",)]
    assert ("repaired by 4 trades",) not in rows(proven.database, "SELECT detail FROM ticks_platform.feed_gap")


def test_gaps_that_stay_are_joined_where_no_minute_lies_between_them(proven: Feed) -> None:
    """A flapping connection makes hundreds an hour."""
    proven.execute("".join(gap(HOUR + second, HOUR + second + 5) for second in range(0, 1_800, 20)))
    # A minute lies between these, and of the third the cause is another one.
    proven.execute(
        gap(HOUR + 1_919, HOUR + 1_920)
        + gap(HOUR + 1_980, HOUR + 1_981)
        + gap(HOUR + 2_000, HOUR + 2_001, cause="killed")
    )
    reasons = (
        "SELECT * FROM ticks_platform.candle_reasons("
        f"'AAPL', to_timestamp({HOUR}), to_timestamp({HOUR + 3_600})) ORDER BY 1"
    )
    before = proven.proofs(), rows(proven.database, reasons)
    delete_notes(proven)
    assert (proven.proofs(), rows(proven.database, reasons)) == before
    found = rows(
        proven.database,
        f"SELECT extract(epoch FROM begins_at)::int - {HOUR}, extract(epoch FROM ends_at)::int - {HOUR}, cause "
        "FROM ticks_platform.feed_gap ORDER BY 1",
    )
    assert found == [
        (0, 1_785, "stopped"),
        (1_919, 1_920, "stopped"),
        (1_980, 1_981, "stopped"),
        (2_000, 2_001, "killed"),
    ]


@pytest.mark.full
def test_what_was_fetched_before_a_symbol_was_asked_for_stays_proven(proven: Feed) -> None:
    proven.execute(
        f"UPDATE ticks_platform.feed_symbol SET wanted_from = to_timestamp({HOUR + 3_000});"
        + fetched(HOUR, HOUR + 1_200)
        + fetched(HOUR + 1_200, HOUR + 3_000, kind="true_up_trades")
        + fetched(HOUR + 3_100, HOUR + 3_200)
    )
    before = proven.proofs(), proven.proofs("1h")
    assert set(before[0].values()) == {"proven"}
    delete_notes(proven)
    assert (proven.proofs(), proven.proofs("1h")) == before
    assert rows(proven.database, "SELECT count(*) FROM ticks_platform.feed_repair") == [(2,)]


@pytest.mark.full
def test_a_day_whose_bars_could_not_be_fetched_is_not_trued_up_without_them(old: Feed) -> None:
    day = f"{datetime.fromtimestamp(OLD, timezone.utc):%Y-%m-%d}"
    old.execute(
        "INSERT INTO ticks_platform.feed_true_up (feed, day, symbol, mode, begins_at, ends_at) VALUES "
        f"('test', '{day}', 'AAPL', 'bars', to_timestamp({OLD}), to_timestamp({OLD + 3_600}));"
        "INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state, error) VALUES "
        f"('test', 'AAPL', 'true_up_bars', to_timestamp({OLD}), to_timestamp({OLD + 3_600}), 'failed', "
        "'not in your plan');"
    )

    def errors() -> list[object]:
        with old.database.transaction() as cursor:
            cursor.execute(sql_files.read("queries/true_up/ready_symbols.sql"), {"feed": "test", "day": day})
            return [row[-1] for row in cursor.fetchall()]

    assert errors() == ["not in your plan"]
    delete_notes(old)
    assert errors() == ["not in your plan"]
    old.execute("UPDATE ticks_platform.feed_true_up SET state = 'failed'")
    delete_notes(old)
    assert rows(old.database, "SELECT count(*) FROM ticks_platform.feed_repair") == [(0,)]


@pytest.mark.full
def test_gaps_of_a_whole_market_stay(proven: Feed) -> None:
    """No provider has the history of `*`: a release that noted it as repaired had repaired nothing."""
    proven.execute(
        "UPDATE ticks_platform.feed_symbol SET symbol = '*';"
        "INSERT INTO ticks_platform.wildcard_symbol VALUES ('test', '*', 'AAPL');"
    )
    assert set(proven.proofs().values()) == {"proven"}
    proven.execute(
        gap(HOUR + 70, HOUR + 71, "repaired", "repaired by 0 trades", "*") + gap(HOUR + 90, HOUR + 91, symbol="*")
    )
    before = proven.proofs()
    assert before == {at(60): "gap", at(1_800): "proven"}
    delete_notes(proven)
    assert proven.proofs() == before


@pytest.mark.full
def test_a_gap_that_was_repaired_is_not_found_again_once_its_note_is_old(proven: Feed) -> None:
    """A connection that lasted since then has ended: gaps are computed again from its begin on."""
    columns = "(feed, symbol, begins_at, ends_at, ended_by, epoch, connection, computed)"
    proven.execute(
        f"DELETE FROM ticks_platform.feed_coverage; INSERT INTO ticks_platform.feed_coverage {columns} VALUES "
        f"('test', 'AAPL', now() - INTERVAL '30 days', to_timestamp({HOUR + 62}), 'stopped', 1, 1, true), "
        f"('test', 'AAPL', to_timestamp({HOUR + 63}), NULL, NULL, 1, 2, true);"
        + gap(HOUR + 62, HOUR + 63, "repaired", "repaired by 1 trades")
    )
    delete_notes(proven)
    proven.execute(
        "UPDATE ticks_platform.feed_coverage SET ends_at = now(), ended_by = 'stopped', computed = false "
        "WHERE ends_at IS NULL"
    )
    with proven.database.transaction() as cursor:
        gaps.update(cursor, "test", now=datetime.now(timezone.utc))
    assert rows(
        proven.database, "SELECT state FROM ticks_platform.feed_gap WHERE begins_at < now() - INTERVAL '1 hour'"
    ) == [("repaired",)]
    assert set(proven.proofs().values()) == {"proven"}


@pytest.mark.full
@pytest.mark.parametrize("kind", ["halt", "resume"])
def test_halts_are_known_as_long_once_the_gaps_beside_them_are_old(proven: Feed, kind: str) -> None:
    times = [HOUR + 600, HOUR + 620, HOUR + 660, HOUR + 690, HOUR + 900, HOUR + 930]
    proven.execute(
        "".join(
            gap(begin, end, "repaired", "repaired by 1 trades")
            for begin, end in zip(times[::2], times[1::2], strict=True)
        )
        + "INSERT INTO trading_halt (time, symbol, kind, feed, received_at) "
        f"VALUES (to_timestamp({HOUR + 640 if kind == 'halt' else HOUR + 1_000}), 'AAPL', '{kind}', 'test', now());"
    )
    halts = (
        "SELECT begins_at, ends_at FROM ticks_platform.halted_times("
        f"'AAPL', to_timestamp({HOUR}), to_timestamp({HOUR + 1_700}))"
    )
    before = rows(proven.database, halts)
    assert len(before) == 1
    delete_notes(proven)
    assert rows(proven.database, halts) == before
    assert rows(proven.database, "SELECT count(*) FROM ticks_platform.feed_gap") == [(1,)]


def correct(feed: Feed) -> None:
    """As a correction does, which changes the sum of the ticks and not their number."""
    feed.execute("UPDATE ticks_platform.feed_hour SET fingerprint = fingerprint + 1, changed_at = clock_timestamp()")


def tamper(feed: Feed) -> None:
    feed.execute("UPDATE stocks_real_time SET price = 500 WHERE price = 102")
    refresh(feed.database)
    with feed.database.autocommit() as cursor:
        audit.hours(cursor, everything=True)


def retry(feed: Feed) -> None:
    """A wrong hour is looked at again."""
    feed.execute("UPDATE ticks_platform.wrong_hour SET retry_at = now() - INTERVAL '1 minute'")
    with feed.database.autocommit() as cursor:
        audit.hours(cursor)
        audit.hours(cursor, everything=True)


@pytest.mark.parametrize("change", [correct, pytest.param(tamper, marks=pytest.mark.full)])
def test_what_was_not_proven_is_not_proven_once_its_ticks_are_dropped(
    old: Feed, change: Callable[[Feed], None]
) -> None:
    every = ("1m", "1h", "1d")
    change(old)
    assert not {"proven", "final"} & {proof for each in every for proof in old.proofs(each).values()}
    drop_chunks(old)
    assert rows(old.database, "SELECT count(*) FROM stocks_real_time") == [(0,)]
    retry(old)
    prove(old.database)
    assert [len(old.proofs(each)) for each in every] == [2, 1, 1]
    assert not {"proven", "final"} & {proof for each in every for proof in old.proofs(each).values()}


@pytest.mark.full
def test_what_was_proven_stays_so_once_its_ticks_are_dropped(old: Feed) -> None:
    drop_chunks(old)
    assert rows(old.database, "SELECT count(*) FROM stocks_real_time") == [(0,)]
    retry(old)
    prove(old.database)
    assert {proof for each in ("1m", "1h", "1d") for proof in old.proofs(each).values()} == {"proven"}


@pytest.mark.full
@pytest.mark.parametrize("is_corrected", [False, True])
def test_declaring_that_all_ticks_of_a_time_are_gone_proves_nothing(old: Feed, is_corrected: bool) -> None:
    if is_corrected:
        correct(old)
    with old.database.autocommit() as cursor:
        # By hand, which leaves the candles.
        cursor.execute("SELECT drop_chunks('stocks_real_time', older_than => INTERVAL '50 hours')")
        audit.hours(cursor, everything=True)
    with old.database.transaction() as cursor:
        gone.declare(cursor, "stocks_real_time", declared_by="me", reason="dropped by hand")
    found = {proof for each in ("1m", "1h", "1d") for proof in old.proofs(each).values()}
    assert found == ({"not_checked"} if is_corrected else {"proven"})


@pytest.mark.full
@pytest.mark.parametrize("calendar", ["XNYS", "XNYS of another feed", "always", "no sessions known"])
def test_days_that_were_not_trued_up_are_not_final_once_their_calendar_is_gone(old: Feed, calendar: str) -> None:
    """The row of a feed is deleted when another one has its symbol."""
    day = datetime.fromtimestamp(OLD // 86_400 * 86_400, timezone.utc)
    days = [day - timedelta(days=1), day, day + timedelta(days=1)]
    feed, name = {
        "XNYS": ("test", "XNYS"),
        "XNYS of another feed": ("other", "XNYS"),
        "always": ("test", "always"),
        "no sessions known": ("test", "XLON"),
    }[calendar]
    sessions = ", ".join(f"('XNYS', '{each}'::timestamptz + INTERVAL '9 hours', '{each:%Y-%m-%d}')" for each in days)
    true_ups = ", ".join(
        f"('{each:%Y-%m-%d}'::date, '{each}'::timestamptz, '{state}')"
        for each, state in zip(days, ("done", "failed", "done"), strict=True)
    )
    old.execute(
        "INSERT INTO ticks_platform.market_session (calendar, opens_at, closes_at, session) "
        f"SELECT name, opens, opens + INTERVAL '7 hours', day::date "
        f"FROM (VALUES {sessions}) AS given (name, opens, day);"
        f"INSERT INTO ticks_platform.symbol_calendar VALUES ('{feed}', 'AAPL', '{name}', '{name}');"
        "INSERT INTO ticks_platform.feed_true_up (feed, day, symbol, mode, begins_at, ends_at, state) "
        "SELECT 'test', day, 'AAPL', 'bars', at + INTERVAL '4 hours', at + INTERVAL '20 hours', state "
        f"FROM (VALUES {true_ups}) AS given (day, at, state);"
    )
    assert set(old.proofs().values()) == {"proven"}
    old.execute("UPDATE ticks_platform.feed_true_up SET state = 'done'")
    assert set(old.proofs().values()) == {"final"}
    assert set(old.proofs("1d").values()) == ({"final"} if name == "XNYS" else {"proven"})


def rename(feed: Feed) -> None:
    with feed.database.transaction() as cursor:
        planned = renames.plan(cursor, {(None, "AAPL"): "APPLE"}, [])
    renames.apply(feed.database, planned, lambda _: None)
    assert rows(feed.database, "SELECT DISTINCT symbol FROM proven_candle WHERE every = '1m'") == [("APPLE",)]


@pytest.mark.full
@pytest.mark.parametrize("state", ["unrepairable", "bars"])
def test_of_gaps_of_both_names_of_a_symbol_the_worse_stays(proven: Feed, state: str) -> None:
    """One connection that broke makes both, at the same moment; the new name had no trades then."""
    missed = (
        ("repaired", "repaired by 1 minute bars of the provider; the ticks are lost")
        if state == "bars"
        else (state, "")
    )
    proven.execute(
        gap(HOUR + 70, HOUR + 75, *missed)
        + gap(HOUR + 70, HOUR + 74, "repaired", "repaired by 0 trades", "APPLE")
        + gap(HOUR + 1_790, HOUR + 1_795, "repaired", "repaired by 0 trades")
        + gap(HOUR + 1_790, HOUR + 1_795, "repaired", "repaired by 0 trades", "APPLE")
    )
    before = proven.proofs()
    assert before == {at(60): "gap", at(1_800): "proven"}
    rename(proven)
    assert proven.proofs() == before
    assert rows(proven.database, "SELECT DISTINCT symbol FROM ticks_platform.feed_gap") == [("APPLE",)]


@pytest.mark.full
@pytest.mark.parametrize("state", ["failed", "done"])
def test_a_day_that_was_not_trued_up_is_not_final_under_another_name(old: Feed, state: str) -> None:
    old.execute(
        "INSERT INTO ticks_platform.feed_true_up "
        "(feed, day, symbol, mode, begins_at, ends_at, state, differed, still_differing) "
        f"SELECT 'test', to_timestamp({OLD})::date, symbol, 'bars', to_timestamp({OLD}) - INTERVAL '12 hours', "
        f"to_timestamp({OLD}) + INTERVAL '12 hours', state, ARRAY[to_timestamp({OLD + 60})], differing "
        f"FROM (VALUES ('AAPL', '{state}', 1), ('APPLE', 'done', 0)) AS given (symbol, state, differing)"
    )
    before = list(old.proofs().values())
    assert before == (["proven", "final"] if state == "done" else ["proven", "proven"])
    rename(old)
    assert list(old.proofs().values()) == before
