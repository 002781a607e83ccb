"""Repairs: what a gap missed is fetched once, within the budget, even if repairs are killed."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.history import KeyRefusedError
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.repair import budget as repair_budget
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair.lease import RepairInUseError
from ticks_platform.ingestion.repair.ranges import SymbolInterval
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import repairing
from ticks_platform_tests.support.children import Child
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import (
    FIELDS,
    KEY,
    MINUTE,
    add_gap,
    close_gaps,
    live_loader,
    load_live,
    manual_stand_in,
    minutes_ago,
    polygon,
    repair,
    twelve_data,
)
from ticks_standin import StandIn

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "demo")


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A stand-in that trades AAPL on request, as Polygon."""
    with manual_stand_in(traded=["T.AAPL"], keys=["demo"]) as server:
        yield server


@pytest.fixture
def stand_in_of_prices() -> Iterator[StandIn]:
    """A stand-in that trades AAPL on request, as Twelve Data."""
    with manual_stand_in(traded=["price.AAPL"]) as server:
        yield server


def state(database: Database, what: str = "state, detail, rows_repaired") -> list[tuple[Any, ...]]:
    return rows(database, f"SELECT {what} FROM ticks_platform.feed_gap ORDER BY begins_at, symbol")


def ticks(database: Database) -> list[tuple[Any, ...]]:
    return rows(database, f"SELECT {FIELDS} FROM stocks_real_time ORDER BY {FIELDS}")


def trade(stand_in: StandIn, count: int = 600, *, begins: float = 20, ends: float = 10) -> None:
    stand_in.trade_unheard(count, minutes_ago(begins), minutes_ago(ends))


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def test_a_secondary_feed_stays_secondary_when_it_is_repaired(
    database: Database, tmp_path: Path, stand_in: StandIn
) -> None:
    """Its ticks make no candles, so that none of their proofs may rest on it."""
    trade(stand_in, 60)
    feed = polygon(stand_in).model_copy(update={"candles": False})
    begin, end = minutes_ago(16), minutes_ago(13)
    made = stand_in.made("T.AAPL", payloads=True).events
    received = [event for event in made if not ms(begin) <= event.made_ms < ms(end)]
    load_live(database, feed, received, tmp_path)
    add_gap(database, feed, "AAPL", begin, end)
    assert repair(database, feed, tmp_path).loaded > 0
    assert rows(database, "SELECT feed, candles FROM ticks_platform.feed WHERE feed = 'tape'") == [("tape", False)]


def test_a_repaired_gap_has_the_ticks_of_a_run_without_gaps(
    database: Database, tmp_path: Path, stand_in: StandIn
) -> None:
    """The table equals that of a run that received everything; trades around the gap are stored once."""
    trade(stand_in)
    feed = polygon(stand_in)
    made = stand_in.made("T.AAPL", payloads=True).events
    begin, end = minutes_ago(16), minutes_ago(13)
    missed = [event for event in made if ms(begin) <= event.made_ms < ms(end)]
    assert 100 < len(missed) < 400
    load_live(database, feed, made, tmp_path)
    whole = ticks(database)
    with database.transaction() as cursor:
        cursor.execute("TRUNCATE stocks_real_time, ticks_platform.feed CASCADE")
    (tmp_path / "tape.sqlite3").unlink()

    load_live(database, feed, [event for event in made if event not in missed], tmp_path)
    gap = add_gap(database, feed, "AAPL", begin, end)
    assert len(ticks(database)) == len(whole) - len(missed)
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO ticks_platform.feed_channel VALUES ('tape', 'T.AAPL', 'subscribed', now(), '')")
    stand_in.fail_requests("short_page", requests=3)
    report = repair(database, feed, tmp_path)
    assert ticks(database) == whole
    assert (report.loaded, report.rejected, report.left) == (len(missed), 0, 0)
    assert 0 < report.duplicate < 60, "the trades in the margins"
    assert report.requests == 4, "three short pages and the rest"
    assert unbalanced(database) == []
    assert len(rows(database, "SELECT FROM ticks_platform.feed_channel")) == 1, "it keeps the feed's channels"

    assert state(database) == [("open", "", 0)]
    closed = close_gaps(database, feed)
    assert (closed.repaired, closed.rows, closed.left) == (1, len(missed), 0)
    assert state(database, "gap_id, state, rows_repaired") == [(gap, "repaired", len(missed))]

    before = len(stand_in.requests())
    assert repair(database, feed, tmp_path).requests == 0
    add_gap(database, feed, "AAPL", begin + SECOND, end - SECOND)
    assert repair(database, feed, tmp_path).added == 0
    assert close_gaps(database, feed).repaired == 1, "a gap in a fetched range is closed without a request"
    assert len(stand_in.requests()) == before


def test_crypto_symbols_have_other_names_in_the_rest_api(database: Database, tmp_path: Path) -> None:
    with manual_stand_in(traded=["XT.BTC-USD"]) as stand_in:
        trade(stand_in, 60)
        feed = polygon(stand_in, symbols=["BTC-USD"]).model_copy(
            update={"options": {"market": "crypto"}, "endpoint": stand_in.url("polygon", key=None, market="crypto")}
        )
        made = stand_in.made(payloads=True).events
        load_live(database, feed, made[:20] + made[40:], tmp_path)
        add_gap(
            database,
            feed,
            "BTC-USD",
            *(datetime.fromtimestamp(at.made_ms / 1000, timezone.utc) for at in made[20:41:20]),
        )
        assert repair(database, feed, tmp_path).loaded == 20
        assert [request.path for request in stand_in.requests()] == ["/v3/trades/X:BTCUSD"]
        load_live(database, feed, made, tmp_path)
        assert len(ticks(database)) == 60, "live trades are found by exchange and id"


def test_a_killed_repair_continues(database: Database, database_url: str, tmp_path: Path, stand_in: StandIn) -> None:
    trade(stand_in)
    feed = polygon(stand_in)
    begin, end = minutes_ago(20), minutes_ago(10)
    add_gap(database, feed, "AAPL", begin, end)
    load_live(database, feed, [], tmp_path)
    kills = 2
    for number in range(kills):
        stand_in.fail_requests("short_page", requests=2)
        stand_in.fail_requests("hang", requests=1)
        asked = len(stand_in.requests())
        child = Child(repairing.main, database_url, tmp_path, feed.model_dump(mode="json"))
        try:
            wait_until(lambda asked=asked: len(stand_in.requests()) >= asked + 3, f"request {number} of the child")
        finally:
            child.kill()
        expire(database)
    stand_in.heal_requests()
    report = repair(database, feed, tmp_path)
    assert (report.left, report.rejected) == (0, 0)
    assert len(ticks(database)) == 600
    assert unbalanced(database) == []
    # Pages that had arrived are not requested again; one request was in flight at each kill.
    asked_for = Counter(
        (request.begins_ns, request.ends_ns) for request in stand_in.requests() if request.fault != "hang"
    )
    assert asked_for.most_common(1)[0][1] == 1
    assert rows(database, "SELECT sum(results)::int FROM ticks_platform.feed_repair") == [(600,)]


@pytest.mark.full
def test_a_repair_killed_between_two_steps_fetches_and_stores_everything_once(
    database: Database, database_url: str, tmp_path: Path, stand_in: StandIn
) -> None:
    """Between the append of a page and its record, the record and the load, the load and its record."""
    trade(stand_in)
    feed = polygon(stand_in)
    add_gap(database, feed, "AAPL", minutes_ago(20), minutes_ago(10))
    load_live(database, feed, [], tmp_path)
    stand_in.fail_requests("short_page", requests=3)
    requests, known = [], []
    for place, at in (("appended", 1), ("appended", 2), ("recorded", 1), ("committed", 1)):
        child = Child(repairing.main, database_url, tmp_path, feed.model_dump(mode="json"), (place, at))
        child.wait(60)
        assert child.exit_code == -signal.SIGKILL, place
        requests.append(len(stand_in.requests()))
        known += rows(database, "SELECT pages, state, results::int FROM ticks_platform.feed_repair")
        expire(database)
    # The last page of each of the first two is appended, but not recorded.
    assert requests == [1, 3, 4, 4]
    assert [(pages, state) for pages, state, _ in known] == [
        (0, "wanted"),
        (2, "wanted"),
        (4, "fetched"),
        (4, "fetched"),
    ]
    report = repair(database, feed, tmp_path)
    assert (report.requests, report.loaded, report.left) == (0, 0, 0)
    assert rows(database, "SELECT pages, state, results::int FROM ticks_platform.feed_repair") == [(4, "loaded", 600)]
    assert len(ticks(database)) == 600
    assert len(set(ticks(database))) == 600
    assert unbalanced(database) == []
    assert rows(database, "SELECT sum(duplicate)::int FROM ticks_platform.feed_ledger") == [(0,)]
    assert sum(request.results for request in stand_in.requests()) == 600


def expire(database: Database) -> None:
    """Make the previous owner's last heartbeat an old one."""
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_repair_lease SET heartbeat_at = now() - INTERVAL '1 hour'")


def wait_until(condition: Any, what: str, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def test_the_budget_of_a_minute_is_kept(database: Database, tmp_path: Path) -> None:
    """The provider's minute is a second here; it would refuse a sixth request in it, but refuses none."""
    with manual_stand_in(traded=["T.AAPL"], polygon_requests_per_minute=5, rest_minute_s=1.0) as stand_in:
        trade(stand_in, 400)
        feed = polygon(stand_in, requests_per_minute=5, requests_per_day=None)
        add_gap(database, feed, "AAPL", minutes_ago(20), minutes_ago(10))
        load_live(database, feed, [], tmp_path)
        stand_in.fail_requests("short_page", requests=7)
        began = time.monotonic()
        report = repair(database, feed, tmp_path, minute=1.0)
        assert report.requests > 5
        assert time.monotonic() - began > 0.9
        assert {request.status for request in stand_in.requests()} == {200}
        assert len(ticks(database)) == 400


def test_requests_of_an_earlier_run_count(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    trade(stand_in, 100)
    feed = polygon(stand_in, requests_per_minute=2)
    add_gap(database, feed, "AAPL", minutes_ago(20), minutes_ago(10))
    load_live(database, feed, [], tmp_path)
    stand_in.fail_requests("short_page", requests=9)
    report = repair(database, feed, tmp_path, seconds=5)
    assert (report.requests, report.left) == (2, 1), "the run's time ends before the third request is allowed"
    assert 40 < report.wait_seconds <= 62
    again = repair(database, feed, tmp_path, seconds=5)
    assert (again.requests, again.left) == (0, 1)
    history = feed.history()
    assert history is not None
    with database.transaction() as cursor:
        other = feed.model_copy(update={"name": "other"})
        assert repair_budget.of(other, history).wait(cursor) > 40, "a feed with the same key shares the budget"
        assert repair_budget.of(feed.model_copy(update={"api_key_env": "ANOTHER"}), history).wait(cursor) == 0
        daily = repair_budget.Budget(f"polygon {KEY}", None, 2)
        assert 86_300 < daily.wait(cursor) <= 86_400
    assert len(ticks(database)) == 75, "fetched pages are loaded"


def test_a_temporary_error_is_retried(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    trade(stand_in, 100)
    feed = polygon(stand_in)
    load_live(database, feed, [], tmp_path)
    troubles: list[tuple[Any, int]] = [("status", 429), ("status", 500), ("cut", 0), ("garbage", 0)]
    for place, (kind, status) in enumerate(troubles):
        begin = minutes_ago(20 - 2 * place)
        add_gap(database, feed, "AAPL", begin + 15 * SECOND, begin + 60 * SECOND)
        stand_in.fail_requests(kind, requests=2, status=status)
        began = time.monotonic()
        report = repair(database, feed, tmp_path, minute=0.3)
        assert (report.requests, report.left) == (3, 0), kind
        assert report.loaded > 0
        if status == 429:
            assert time.monotonic() - began > 0.6, "twice the minute without a Retry-After header"
    assert close_gaps(database, feed).repaired == len(troubles)
    outcomes = rows(database, "SELECT outcome FROM ticks_platform.feed_repair_request ORDER BY request_id")
    assert [("429" in outcomes[0][0]), ("500" in outcomes[3][0])] == [True, True]


def test_a_lasting_error_postpones_the_range(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    trade(stand_in, 100)
    feed = polygon(stand_in)
    add_gap(database, feed, "AAPL", minutes_ago(20), minutes_ago(10))
    load_live(database, feed, [], tmp_path)
    stand_in.fail_requests("status", requests=50, status=503)
    report = repair(database, feed, tmp_path)
    assert (report.requests, report.loaded, report.left) == (4, 0, 1)
    assert repair(database, feed, tmp_path).requests == 0, "not before the delay"
    assert close_gaps(database, feed).left == 1
    ((error, retry),) = rows(
        database, "SELECT error, retry_at > now() + INTERVAL '50 seconds' FROM ticks_platform.feed_repair"
    )
    assert "503" in error
    assert retry


def test_data_outside_of_the_plan_is_unrepairable(database: Database, tmp_path: Path) -> None:
    with manual_stand_in(traded=["T.AAPL"], polygon_rest_unentitled=["trades"]) as stand_in:
        trade(stand_in, 100)
        feed = polygon(stand_in)
        add_gap(database, feed, "AAPL", minutes_ago(20), minutes_ago(10))
        load_live(database, feed, [], tmp_path)
        report = repair(database, feed, tmp_path)
        assert (report.requests, report.left) == (1, 0)
        assert close_gaps(database, feed).unrepairable == 1
        ((found, detail, _),) = state(database)
        assert found == "unrepairable"
        assert "not entitled" in detail
        assert "demo" not in detail
        # After an upgrade of the plan, the user opens the gap again.
        with database.transaction() as cursor:
            cursor.execute("UPDATE ticks_platform.feed_gap SET state = 'open'")
        assert repair(database, feed, tmp_path).requests == 1


def test_a_refused_key_ends_the_run(
    database: Database, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = polygon(stand_in)
    add_gap(database, feed, "AAPL", minutes_ago(20), minutes_ago(10))
    load_live(database, feed, [], tmp_path)
    monkeypatch.setenv(KEY, "bad-secret")
    with pytest.raises(KeyRefusedError) as refused:
        repair(database, feed, tmp_path)
    assert "bad-secret" not in str(refused.value)
    assert state(database) == [("open", "", 0)]


def test_a_gap_waits_for_the_provider_and_for_the_feeds_loader(
    database: Database, tmp_path: Path, stand_in: StandIn
) -> None:
    trade(stand_in, 100)
    feed = polygon(stand_in, delay_seconds=900)
    add_gap(database, feed, "AAPL", minutes_ago(20), minutes_ago(10))
    add_gap(database, feed, "AAPL", minutes_ago(5), None)
    load_live(database, feed, [], tmp_path)
    assert repair(database, feed, tmp_path).added == 0, "the provider does not have it yet"
    soon = polygon(stand_in)
    (tmp_path / "tape.sqlite3").unlink()
    assert repair(database, soon, tmp_path).added == 0, "frames received after the gap may not be loaded"
    load_live(database, feed, [], tmp_path)
    assert repair(database, soon, tmp_path).added == 1


def test_an_old_gap_is_given_up_and_one_repair_runs_at_a_time(
    database: Database, tmp_path: Path, stand_in: StandIn
) -> None:
    feed = polygon(stand_in, give_up_after_days=1)
    add_gap(database, feed, "AAPL", minutes_ago(3000), minutes_ago(2990))
    assert repair(database, feed, tmp_path).requests == 0
    ((found, detail, _),) = state(database)
    assert found == "unrepairable"
    assert "1 days" in detail
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE ticks_platform.feed_repair_lease "
            "SET owner = 'run of another', heartbeat_at = now(), released_at = NULL"
        )
    with pytest.raises(RepairInUseError, match="run of another"):
        repair(database, feed, tmp_path)


def test_bars_fill_the_minutes_of_a_gap_only(database: Database, tmp_path: Path, stand_in_of_prices: StandIn) -> None:
    stand_in = stand_in_of_prices
    trade(stand_in, 600)
    feed = twelve_data(stand_in)
    begin = minutes_ago(16) + 20 * SECOND
    add_gap(database, feed, "AAPL", begin, begin + 2 * MINUTE)
    stand_in.fail_requests("truncated")
    report = repair(database, feed, tmp_path)
    assert (report.loaded, report.left) == (3, 0), "the rest of a truncated response is requested"
    stored = rows(database, "SELECT start_time, end_time, open_price, volume FROM stock_aggregates ORDER BY start_time")
    assert [row[0] for row in stored] == [minutes_ago(16), minutes_ago(15), minutes_ago(14)]
    assert all(row[1] - row[0] == MINUTE and row[2] > 0 and row[3] is not None for row in stored)
    assert ticks(database) == [], "bars do not become ticks"
    assert close_gaps(database, feed).repaired == 1
    assert unbalanced(database) == []


def test_bars_of_an_unknown_symbol(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    feed = twelve_data(stand_in, symbols=["NOSUCH", "AAPL"])
    add_gap(database, feed, "NOSUCH", minutes_ago(16), minutes_ago(14))
    add_gap(database, feed, "AAPL", minutes_ago(16), minutes_ago(14))
    assert repair(database, feed, tmp_path).left == 0
    closed = close_gaps(database, feed)
    assert (closed.unrepairable, closed.repaired, closed.rows) == (1, 1, 0), "AAPL was not traded in its gap"
    assert "not found" in rows(database, "SELECT detail FROM ticks_platform.feed_gap WHERE symbol = 'NOSUCH'")[0][0]


def test_live_ticks_are_loaded_during_a_repair(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    """A repair neither takes the feed's lease nor stores trades that are in the table."""
    trade(stand_in, 400)
    feed = polygon(stand_in)
    made = stand_in.made("T.AAPL", payloads=True).events
    before, missed, after = made[:150], made[150:250], made[250:]
    load_live(database, feed, before + after[:50], tmp_path)
    begin, end = (datetime.fromtimestamp(event.made_ms / 1000, timezone.utc) for event in (missed[0], after[0]))
    add_gap(database, feed, "AAPL", begin, end)
    with contextlib.closing(Journal(tmp_path / "tape.sqlite3", feed="tape", synthetic=True)) as journal:
        loader = live_loader(database, feed, journal)
        loading = threading.Thread(target=loader.run)
        repairs = threading.Thread(target=repair, args=(database, feed, tmp_path))
        loading.start()
        repairs.start()
        for event in after[50:]:
            journal.append([Frame(b"[" + event.payload + b"]", time.time_ns(), 1)], epoch=1)
        repairs.join()
        journal.stop_appending()
        loading.join()
    assert len(ticks(database)) == len({row[-1] for row in ticks(database)}) == 400
    assert loader.metrics.loaded == len(after) - 50
    assert unbalanced(database) == []


@pytest.mark.parametrize("lag", [0.0, 900.0], ids=["as they happen", "15 minutes late"])
def test_a_late_live_trade_that_was_repaired_is_a_duplicate(
    database: Database, tmp_path: Path, stand_in: StandIn, lag: float
) -> None:
    """The provider sends it late, on the connection after the gap, when it is in the table already."""
    trade(stand_in, 100)
    feed = polygon(stand_in)
    before, missed, after = (lambda made: (made[:49], made[49], made[50:]))(
        stand_in.made("T.AAPL", payloads=True).events
    )
    moment = datetime.fromtimestamp(missed.made_ms / 1000, timezone.utc)
    path = tmp_path / "tape.sqlite3"
    with contextlib.closing(Journal(path, feed="tape", synthetic=True)) as journal:
        loader = live_loader(database, feed, journal)
        loading = threading.Thread(target=loader.run)
        loading.start()
        for event in before + after:
            arrival = event.time_ns + int(lag * 1e9)
            journal.append([Frame(b"[" + event.payload + b"]", arrival, 1)], epoch=1)
        wait_until(lambda: len(ticks(database)) == 99, "the other trades are loaded")
        add_gap(database, feed, "AAPL", moment - SECOND, moment + SECOND)
        assert repair(database, feed, tmp_path).loaded == 1
        arrival = missed.time_ns + int(lag * 1e9) + 100 * 10**9
        journal.append([Frame(b"[" + missed.payload + b"]", arrival, 1)], epoch=1)
        journal.stop_appending()
        loading.join()
    assert len(ticks(database)) == 100
    assert loader.metrics.duplicate == 1
    assert unbalanced(database) == []


def test_ranges_do_not_overlap(database: Database, stand_in: StandIn) -> None:
    feed = polygon(stand_in)
    add_gap(database, feed, "AAPL", minutes_ago(20), None)
    noon = datetime(2026, 3, 11, 12, tzinfo=timezone.utc)

    def add(*spans: tuple[str, int, int]) -> int:
        with database.transaction() as cursor:
            intervals = [
                SymbolInterval(symbol, noon + begin * MINUTE, noon + end * MINUTE) for symbol, begin, end in spans
            ]
            return repair_ranges.add(cursor, feed.name, "trades", intervals)

    assert add(("AAPL", 10, 20), ("AAPL", 15, 25), ("MSFT", 0, 5)) == 2
    assert add(("AAPL", 0, 40), ("MSFT", 1, 4)) == 2
    found = rows(database, "SELECT symbol, begins_at, ends_at FROM ticks_platform.feed_repair ORDER BY 1, 2")
    assert [(symbol, (begin - noon) // MINUTE, (end - noon) // MINUTE) for symbol, begin, end in found] == [
        ("AAPL", 0, 10),
        ("AAPL", 10, 25),
        ("AAPL", 25, 40),
        ("MSFT", 0, 5),
    ]


def test_ranges_of_a_lost_journal_are_fetched_again(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    """Their pages were not loaded."""
    trade(stand_in, 100)
    feed = polygon(stand_in, requests_per_minute=1)
    add_gap(database, feed, "AAPL", minutes_ago(20), minutes_ago(10))
    load_live(database, feed, [], tmp_path)
    stand_in.fail_requests("short_page")
    assert repair(database, feed, tmp_path, seconds=1).loaded == 50
    (tmp_path / "repair" / "tape.sqlite3").unlink()
    report = repair(database, polygon(stand_in), tmp_path)
    assert (report.loaded, report.duplicate, report.left) == (50, 50, 0)


def test_changed_repair_settings_do_not_restart_an_ingestion(stand_in: StandIn) -> None:
    feed = polygon(stand_in)
    assert feed.only_symbols_differ(polygon(stand_in, enabled=False))
    assert not feed.only_symbols_differ(feed.model_copy(update={"stale_after_seconds": 1.0}))
    assert isinstance(feed, FeedSettings)
