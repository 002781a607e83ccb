"""The true-up: trades that the provider took back, or that were missed, are found after the day and fetched once."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.calendars import calendar
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair import true_up, true_up_days
from ticks_platform.ingestion.repair.true_up_days import Report
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import repairing
from ticks_platform_tests.support.children import Child
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.polygon_rest import PolygonRest, Trouble, bar, frame, trade
from ticks_platform_tests.support.repairing import KEY, add_gap, load_frames

DAY = date(2026, 3, 3)
NOON = datetime(2026, 3, 3, 17, tzinfo=timezone.utc)
CANDLES = "SELECT bucket, symbol, open, high, low, close, volume FROM one_minute_candle ORDER BY bucket, symbol"
AS_OF = (
    "SELECT bucket, symbol, open, high, low, close, volume "
    "FROM candles_as_of('AAPL', '1 minute', '2026-03-03', '2026-03-04', '{}')"
)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "demo")


@pytest.fixture
def rest() -> Iterator[PolygonRest]:
    """A provider's API."""
    with PolygonRest() as api:
        yield api


def tape(rest: PolygonRest, *symbols: str, **settings: Any) -> FeedSettings:
    """A feed of US stocks."""
    given = {
        "name": "tape",
        "provider": "polygon",
        "endpoint": rest.url,
        "synthetic_endpoint": True,
        "api_key_env": KEY,
        "calendar": "XNYS",
        "symbols": symbols or ("AAPL",),
        "repair": {"delay_seconds": 0, "requests_per_minute": 1000},
    }
    return FeedSettings.model_validate({**given, **settings})


def at(minute: int, second: float = 0) -> int:
    """Nanoseconds of a moment so many minutes after noon."""
    return round((NOON.timestamp() + 60 * minute + second) * 1000) * 10**6


def load(database: Database, feed: FeedSettings, folder: Path, *frames: bytes) -> None:
    """Load frames as the feed's ingestion does, and refresh the candles."""
    load_frames(database, feed, folder, *frames)
    with database.autocommit() as cursor:
        for candle in candles.CANDLES:
            candles.refresh_history(cursor, candle)


def run(database: Database, feed: FeedSettings, folder: Path, **options: Any) -> Report:
    history = feed.history()
    assert history is not None
    options = {"owner": str(uuid.uuid4()), "seconds": 30.0, "backoff": 0.05, **options}
    return true_up.run(feed=feed, history=history, database=database, day=DAY, folder=folder, **options)


def missed(rest: PolygonRest, *symbols: str) -> list[bytes]:
    """Of each symbol, five minutes with two trades each; frames of all but one of them, in the third minute."""
    frames = []
    for symbol in symbols:
        made = [trade(str(number), at(number // 2, number % 2), 100 + number, 10) for number in range(10)]
        rest.trades[symbol] = made
        rest.bars[symbol] = [bar(*made[begin : begin + 2]) for begin in range(0, 10, 2)]
        frames.append(frame(symbol, *made[:5], *made[6:]))
    return frames


def test_a_missed_trade_is_fetched_once(database: Database, tmp_path: Path, rest: PolygonRest) -> None:
    feed = tape(rest)
    load(database, feed, tmp_path, *missed(rest, "AAPL"))
    before, known = rows(database, CANDLES), datetime.now(timezone.utc)
    report = run(database, feed, tmp_path)
    assert (report.symbols, report.done, report.left, report.failed) == (1, 1, 0, 0)
    assert (report.compared, report.differed, report.still_differing) == (5, 1, 0)
    assert (report.requests, report.loaded) == (2, 6), "five bars and a trade"
    assert rest.paths == ["/v2/aggs/ticker/AAPL/range/1/minute/1772528400000/1772585999999", "/v3/trades/AAPL"]
    assert rows(database, "SELECT count(*), count(DISTINCT trade_id) FROM stocks_real_time") == [(10, 10)]
    assert rows(database, CANDLES)[2][2:] == (104, 105, 104, 105, 20)
    assert rows(database, AS_OF.format(known)) == before, "a repair is not known before it was fetched"
    assert rows(
        database, "SELECT state, differed, still_differing, known_at > wanted_at FROM ticks_platform.feed_true_up"
    ) == [("done", [NOON + timedelta(minutes=2)], 0, True)]
    assert rows(database, "SELECT DISTINCT state FROM ticks_platform.feed_repair") == [("done",)]
    assert unbalanced(database) == []
    assert run(database, feed, tmp_path).requests == 0, "a day is trued up once"


def test_all_symbols_of_a_market_are_asked_of_no_history(database: Database, tmp_path: Path, rest: PolygonRest) -> None:
    """The days of what is listed are trued up."""
    report = run(database, tape(rest, "*"), tmp_path)
    assert (report.symbols, report.reason[:37]) == (0, "no symbol is listed by its name: of a")
    assert run(database, tape(rest, "*", "AAPL"), tmp_path).symbols == 1


def test_equal_candles_cost_one_request_a_symbol(database: Database, tmp_path: Path, rest: PolygonRest) -> None:
    """Minutes in which a symbol was not asked for yet are left out, and those of a gap that is ignored."""
    feed = tape(rest, "AAPL", "MSFT")
    missed(rest, "AAPL", "MSFT")
    for symbol in ("AAPL", "MSFT"):
        load(database, feed, tmp_path, frame(symbol, *rest.trades[symbol][2:6], *rest.trades[symbol][8:]))
    for symbol in ("AAPL", "MSFT"):
        gap = add_gap(database, feed, symbol, NOON + timedelta(minutes=3), NOON + timedelta(minutes=3, seconds=50))
        with database.transaction() as cursor:
            cursor.execute("UPDATE ticks_platform.feed_gap SET state = 'ignored' WHERE gap_id = %s", (gap,))
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
            "SELECT 'tape', symbol, %s, 'XNYS' FROM unnest('{AAPL,MSFT}'::text[]) AS symbol",
            (NOON + timedelta(seconds=80),),
        )
    report = run(database, feed, tmp_path)
    assert (report.requests, report.done, report.compared, report.differed) == (2, 2, 6, 0)


def test_a_day_whose_last_hours_were_fetched_is_compared_from_there(
    database: Database, tmp_path: Path, rest: PolygonRest
) -> None:
    """Of a symbol that was added on the next day: else all trades of the day before would be fetched."""
    feed = tape(rest)
    missed(rest, "AAPL")
    load(database, feed, tmp_path, frame("AAPL", *rest.trades["AAPL"][4:]))
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
            "VALUES ('tape', 'AAPL', %s, 'XNYS')",
            (NOON + timedelta(days=1),),
        )
        cursor.execute(
            "INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state) "
            "VALUES ('tape', 'AAPL', 'trades', %s, %s, 'done')",
            (NOON + timedelta(minutes=2), NOON + timedelta(hours=1)),
        )
    report = run(database, feed, tmp_path)
    assert (report.requests, report.compared, report.differed) == (1, 3, 0)


@pytest.mark.parametrize("compressed", [False, True], ids=["rows", "columnstore"])
def test_a_cancelled_trade(database: Database, tmp_path: Path, rest: PolygonRest, compressed: bool) -> None:
    """The WebSocket never takes it back. REST has it with the code 8, and a cancel record later."""
    feed = tape(rest)
    good = [trade(str(number), at(0, 10 * number), 250 + number, 100) for number in range(1, 5)]
    bust = trade("99", at(0, 25), 300, 10_000, exchange=4, trf_id=202)
    load(database, feed, tmp_path, frame("AAPL", *good[:2], bust, *good[2:]))
    wrong = [(NOON, "AAPL", 251, 300, 251, 254, 10_400)]
    assert rows(database, CANDLES) == wrong
    if compressed:
        with database.autocommit() as cursor:
            cursor.execute("SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")
    rest.bars["AAPL"] = [bar(*good)]
    rest.trades["AAPL"] = [*good, {**bust, "correction": 8}, {**bust, "correction": 10, "sip_timestamp": at(19)}]
    known = datetime.now(timezone.utc)
    report = run(database, feed, tmp_path)
    assert rows(database, CANDLES) == [(NOON, "AAPL", 251, 254, 251, 254, 400)]
    assert rows(database, AS_OF.format(known)) == wrong
    assert rows(database, AS_OF.format("infinity")) == rows(database, CANDLES)
    assert (report.requests, report.compared, report.differed, report.still_differing) == (2, 1, 1, 0)
    assert report.corrections == 1
    assert rows(database, "SELECT kind, trade_id, price, size, source FROM tick_correction") == [
        ("cancelled", "99", 300, 10_000, "REST correction 8")
    ]
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(5,)], "it keeps its row"
    assert unbalanced(database) == []


@pytest.mark.full
def test_a_corrected_trade(database: Database, tmp_path: Path, rest: PolygonRest) -> None:
    """Code 1 has the correct data, code 12 what was wrong."""
    feed = tape(rest)
    wrong = [trade(str(number), at(0, 10 * number), 250 + number, 100) for number in range(1, 5)]
    correct = [*wrong[:2], {**wrong[2], "price": 250.5}, wrong[3]]
    load(database, feed, tmp_path, frame("AAPL", *wrong))
    before, known = rows(database, CANDLES), datetime.now(timezone.utc)
    rest.bars["AAPL"] = [bar(*correct)]
    rest.trades["AAPL"] = [*correct[:2], {**correct[2], "correction": 1}, {**wrong[2], "correction": 12}, wrong[3]]
    report = run(database, feed, tmp_path)
    assert (report.differed, report.still_differing, report.corrections) == (1, 0, 1)
    assert rows(database, CANDLES) == [(NOON, "AAPL", 251, 254, 250.5, 254, 400)]
    assert rows(database, AS_OF.format(known)) == before
    assert unbalanced(database) == []


@pytest.mark.full
@pytest.mark.parametrize("place", ["appended", "recorded", "committed"])
def test_killed_in_the_middle(database: Database, tmp_path: Path, rest: PolygonRest, place: str) -> None:
    """Killed at each page, or each load: nothing is fetched twice, nothing is stored twice."""
    feed = tape(rest)
    load(database, feed, tmp_path, *missed(rest, "AAPL"))
    for _ in range(2):
        child = Child(main, database.url(), tmp_path, feed.model_dump(), place)
        child.wait(60)
        assert child.exit_code == -signal.SIGKILL
        with database.transaction() as cursor:
            cursor.execute("UPDATE ticks_platform.feed_repair_lease SET heartbeat_at = now() - INTERVAL '1 hour'")
    report = run(database, feed, tmp_path)
    assert (report.done, report.differed, report.still_differing) == (1, 1, 0)
    assert len(rest.paths) == 2
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(10,)]
    assert unbalanced(database) == []


def main(url: str, folder: Path, feed: dict[str, object], place: str) -> None:
    """Make the true-up, and be killed at a place."""
    repairing.die(place, at=2 if place in ("recorded", "committed") and _has_pages(folder) else 1)
    run(Database(url), FeedSettings.model_validate(feed), folder)


def _has_pages(folder: Path) -> bool:
    return (folder / "repair" / "tape.sqlite3").exists()


@pytest.mark.full
def test_what_the_budget_does_not_reach_is_said(database: Database, tmp_path: Path, rest: PolygonRest) -> None:
    symbols = ("AAPL", "IBM", "MSFT")
    feed = tape(rest, *symbols, repair={"delay_seconds": 0, "requests_per_day": 2})
    load(database, feed, tmp_path, *missed(rest, *symbols))
    report = run(database, feed, tmp_path, seconds=5.0)
    assert (report.requests, report.done, report.left) == (2, 0, 3)
    assert report.left_symbols == symbols
    assert report.left_since is not None
    assert report.wait_seconds > 30
    history = feed.history()
    now = datetime(2026, 3, 4, 2, 30, tzinfo=timezone.utc)
    due = true_up_days.due(database, feed, history, folder=tmp_path, now=now)
    assert due.day is None
    assert "the budget allows the next request in" in due.reason
    feed = tape(rest, *symbols)
    due = true_up_days.due(database, feed, history, folder=tmp_path, now=now)
    assert due == (DAY, "2026-03-03: 3 symbols left")
    report = run(database, feed, tmp_path)
    assert (report.requests, report.done, report.left, report.still_differing) == (4, 3, 0, 0)
    assert len(rest.paths) == len(set(zip(rest.paths, range(6), strict=True))) == 6
    assert true_up_days.due(database, feed, history, folder=tmp_path, now=now).reason == "nothing to true up"


def test_troubles(database: Database, tmp_path: Path, rest: PolygonRest) -> None:
    """An unknown symbol fails, one that the plan has later waits, and the others are done."""
    feed = tape(rest, "AAPL", "NOPE", "SOON")
    load(database, feed, tmp_path, *missed(rest, "AAPL", "NOPE", "SOON"))
    rest.troubles["NOPE"] = Trouble(404, {"status": "NOT_FOUND", "message": "Data not found."})
    message = "Your plan doesn't include this data timeframe. Please upgrade your plan"
    rest.troubles["SOON"] = Trouble(403, {"status": "NOT_AUTHORIZED", "message": message})
    report = run(database, feed, tmp_path)
    assert (report.done, report.failed, report.left, report.left_symbols) == (1, 1, 1, ("SOON",))
    ((detail,),) = rows(database, "SELECT detail FROM ticks_platform.feed_true_up WHERE state = 'failed'")
    assert "Data not found" in detail
    now = datetime(2026, 3, 4, 2, 30, tzinfo=timezone.utc)
    assert true_up_days.due(database, feed, feed.history(), now=now).reason == "waiting for the provider"
    del rest.troubles["SOON"]
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_repair SET retry_at = now()")
    assert run(database, feed, tmp_path).done == 2


def test_all_trades_of_the_day(database: Database, tmp_path: Path, rest: PolygonRest) -> None:
    """Without bars to compare with, as a feed whose ticks make no candles has to."""
    feed = tape(rest, true_up="trades", candles=False)
    load(database, feed, tmp_path, *missed(rest, "AAPL"))
    report = run(database, feed, tmp_path)
    assert (report.requests, report.loaded, report.done, report.compared) == (1, 1, 1, 0)
    assert rest.paths == ["/v3/trades/AAPL"]


def test_gaps_come_first(database: Database, tmp_path: Path, rest: PolygonRest) -> None:
    feed = tape(rest)
    load(database, feed, tmp_path, *missed(rest, "AAPL"))
    add_gap(database, feed, "AAPL", NOON + timedelta(minutes=2), NOON + timedelta(minutes=3))
    now = datetime(2026, 3, 4, 2, 30, tzinfo=timezone.utc)
    due = true_up_days.due(database, feed, feed.history(), folder=tmp_path, now=now)
    assert due == (None, "gaps come first: 1 gaps can be repaired")
    assert (run(database, feed, tmp_path).requests, rest.paths) == (0, [])
    assert repairing.repair(database, feed, tmp_path).loaded == 1
    repairing.close_gaps(database, feed)
    report = run(database, feed, tmp_path)
    assert (report.requests, report.done, report.differed) == (1, 1, 0)
    with database.transaction() as cursor:
        assert repair_ranges.count_fetched(cursor, feed.name) == 0


@pytest.mark.full
def test_gaps_of_another_feed_with_the_same_key_come_first(
    database: Database, tmp_path: Path, rest: PolygonRest
) -> None:
    feed, other = tape(rest), tape(rest, "MSFT", name="other")
    frames = missed(rest, "AAPL", "MSFT")
    load(database, feed, tmp_path, frames[0])
    load(database, other, tmp_path, frames[1])
    for minute in (0, 4):
        add_gap(database, other, "MSFT", NOON + timedelta(minutes=minute), NOON + timedelta(minutes=minute, seconds=1))
    other = tape(rest, "MSFT", name="other", repair={"delay_seconds": 0, "requests_per_minute": 1})
    assert repairing.repair(database, other, tmp_path, seconds=1.0).left == 1
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_repair_lease SET released_at = NULL WHERE feed = 'other'")
    report = run(database, feed, tmp_path)
    assert (report.requests, report.left) == (0, 1)
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_repair_lease SET released_at = now() WHERE feed = 'other'")
    assert run(database, feed, tmp_path).done == 1


def test_feeds_without_a_true_up(rest: PolygonRest) -> None:
    def reason(**settings: Any) -> str:
        feed = tape(rest, **settings)
        return true_up_days.obstacle(feed, feed.history()) or ""

    assert reason() == ""
    assert "switched off" in reason(true_up=False)
    assert "does not tell" in reason(options={"market": "options"})
    assert "does not tell" in reason(options={"market": "crypto"})
    assert "does not tell" in reason(options={"channels": ["Q"]})
    assert "make no candles" in reason(candles=False)
    assert "does not tell" in reason(provider="twelve_data")


def test_a_day_is_due_after_its_extended_hours(database: Database, tmp_path: Path, rest: PolygonRest) -> None:
    """A quarter of a minute more than an hour after 20:00 in New York; not on a day without a session."""
    feed = tape(rest, repair={"delay_seconds": 15})
    load(database, feed, tmp_path, *missed(rest, "AAPL"))
    history = feed.history()
    assert history is not None
    due = datetime(2026, 3, 4, 2, 0, 15, tzinfo=timezone.utc)
    assert "due at 2026-03-04 02:00 UTC" in run(database, feed, tmp_path, now=due - timedelta(seconds=1)).reason
    assert true_up_days.due(database, feed, history, now=due - timedelta(seconds=1)).day is None
    assert true_up_days.due(database, feed, history, now=due).day == DAY
    assert true_up_days.due(database, feed, history, now=due + timedelta(days=30)).day is None
    assert "no symbol has a session" in (true_up_days.not_yet(feed, history, date(2026, 3, 7), now=due) or "")


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("XNYS 04:00-20:00", "2026-03-03", ("2026-03-03 09:00", "2026-03-04 01:00")),
        ("XNYS 04:00-20:00", "2026-07-02", ("2026-07-02 08:00", "2026-07-03 00:00")),
        ("XNYS 04:00-20:00", "2026-07-04", None),
        ("XNYS 04:00-20:00", "2025-11-28", ("2025-11-28 09:00", "2025-11-28 22:00")),  # a half day
        ("XNYS", "2026-03-03", ("2026-03-03 14:30", "2026-03-03 21:00")),
        ("XTKS", "2026-07-02", ("2026-07-02 00:00", "2026-07-02 06:30")),
        ("always", "2026-07-04", ("2026-07-04 00:00", "2026-07-05 00:00")),
    ],
)
def test_extended_hours(name: str, day: str, hours: tuple[str, str] | None) -> None:
    found = calendar(name).extended_hours(date.fromisoformat(day))
    if hours is not None:
        assert found is not None
        assert tuple(f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%d %H:%M}" for moment in found) == hours
    else:
        assert found is None
