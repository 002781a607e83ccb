"""Gaps of whole runs: the events that a provider sent and nobody received, compared with the table of gaps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import pytest
from typing_extensions import Self

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport import silence
from ticks_platform.ingestion import switch
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults.ingester import Order
from ticks_platform_tests.faults.processes import PATIENCE, Ingester
from ticks_platform_tests.support.ingestion import price, rows
from ticks_standin import StandIn

SYMBOLS = ("AAPL", "BTC/USD")
"""The symbols that have events; an ingester of the fault test asks for another one, too."""

SLACK = 2.0
"""Seconds by which a gap may be longer than the time without events in it: half a second, more on a busy machine."""

SLACK_OF_SILENCE = 3.5
"""The same if only one symbol was silent: its rate is computed once a second."""


class Event(NamedTuple):
    """An event of the provider's market."""

    number: int
    symbol: str
    at: float


class Market(threading.Thread):
    """Makes an event of each symbol every few milliseconds, which the stand-in sends to its subscribers."""

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__(daemon=True)
        self._stand_in = stand_in
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.withheld: set[str] = set()
        self.events: list[Event] = []

    def run(self) -> None:
        while not self._ended.wait(0.02):
            with self._lock:
                for symbol in SYMBOLS:
                    event = Event(len(self.events) + 1, symbol, time.time())
                    self.events.append(event)
                    if symbol not in self.withheld:
                        self._stand_in.inject(price(symbol, price=event.number))

    def withhold(self, *symbols: str) -> None:
        """Stop sending these symbols, and send all others."""
        with self._lock:
            self.withheld = set(symbols)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ended.set()
        self.join()


class Missing(NamedTuple):
    """Consecutive events of one symbol that never arrived."""

    symbol: str
    begin: float
    end: float


def missing(database: Database, events: list[Event]) -> list[Missing]:
    """Consecutive events that are not in the table, between events that are."""
    stored = {int(row[0]) for row in rows(database, "SELECT price FROM stocks_real_time")}
    found: list[Missing] = []
    for symbol in SYMBOLS:
        mine = [event for event in events if event.symbol == symbol]
        there = [place for place, event in enumerate(mine) if event.number in stored]
        run: list[Event] = []
        for event in mine[there[0] : there[-1] + 1] if there else ():
            if event.number not in stored:
                run.append(event)
            elif run:
                found.append(Missing(symbol, run[0].at, run[-1].at))
                run = []
    return found


class Known(NamedTuple):
    """A gap in the table."""

    symbol: str
    begin: float
    end: float
    cause: str


def known(database: Database) -> list[Known]:
    """The gaps of the market's symbols that have ended, oldest first."""
    found: list[tuple[str, datetime, datetime, str]] = rows(
        database,
        "SELECT symbol, begins_at, ends_at, cause FROM ticks_platform.feed_gap WHERE ends_at IS NOT NULL "
        "ORDER BY begins_at",
    )
    return [
        Known(symbol, begin.timestamp(), end.timestamp(), cause)
        for symbol, begin, end, cause in found
        if symbol in SYMBOLS
    ]


def check(database: Database, events: list[Event]) -> list[Known]:
    """Check that every missing event is in a gap, and that no gap is longer by more than the slack."""
    gaps = known(database)
    lost = missing(database, events)
    for run in lost:
        around = [gap for gap in gaps if gap.symbol == run.symbol and gap.begin <= run.begin and run.end < gap.end]
        assert around, f"missing, but in no gap: {run}, of {gaps}"
    for gap in gaps:
        inside = [run for run in lost if run.symbol == gap.symbol and gap.begin <= run.begin and run.end < gap.end]
        begin = min((run.begin for run in inside), default=gap.end)
        end = max((run.end for run in inside), default=gap.end)
        slack = SLACK_OF_SILENCE if gap.cause == "silent" else SLACK
        assert (begin - gap.begin) + (gap.end - end) <= slack, f"a gap without missing events: {gap}, of {lost}"
    return gaps


@pytest.fixture
def feed() -> FeedSettings:
    return FeedSettings.model_validate(
        {
            "name": "test",
            "provider": "twelve_data",
            "endpoint": "stand-in",
            "symbols": list(SYMBOLS),
            "stale_after_seconds": 1.0,
        }
    )


Ingest = Callable[[], Ingestion]


@pytest.fixture
def ingest(feed: FeedSettings, stand_in: StandIn, database: Database, tmp_path: Path) -> Ingest:
    """Creates an ingestion of the feed with the test's own journal."""

    def make() -> Ingestion:
        connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
        journal = tmp_path / "gaps.sqlite3"
        return Ingestion(feed=feed, connector=connector, database=database, owner="test", journal_file=journal)

    return make


@pytest.fixture
def market(stand_in: StandIn) -> Iterator[Market]:
    with Market(stand_in) as running:
        yield running


def await_rows(database: Database, query: str, wanted: Callable[[list[tuple[object, ...]]], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not wanted(found := rows(database, query)):
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {query}: {found}"
        time.sleep(0.05)


def await_covered(database: Database, count: int = 1) -> None:
    """Wait until each of the market's symbols has so many intervals of coverage, and the last one is open."""
    query = (
        f"SELECT symbol FROM ticks_platform.feed_coverage WHERE symbol IN {SYMBOLS} GROUP BY symbol "
        f"HAVING count(*) >= {count} AND count(*) FILTER (WHERE ends_at IS NULL) = 1"
    )
    await_rows(database, query, lambda found: len(found) == len(SYMBOLS))


def let_flow(market: Market, ingestion: Ingestion) -> None:
    """Wait until enough events have been loaded to prove coverage."""
    goal, deadline = ingestion.progress().loaded + 80, time.monotonic() + PATIENCE
    while ingestion.progress().loaded < goal:
        assert time.monotonic() < deadline, "no more events are loaded"
        ingestion.wait(0.02)


def test_lost_connections_make_gaps(ingest: Ingest, stand_in: StandIn, market: Market, database: Database) -> None:
    with ingest() as ingestion:
        for count in (1, 2, 3):
            await_covered(database, count)
            let_flow(market, ingestion)
            if count == 1:
                stand_in.go_away(0.5)
            elif count == 2:
                stand_in.close_connections(1001)
        let_flow(market, ingestion)
    with ingest() as ingestion:
        await_covered(database, 4)
        let_flow(market, ingestion)
    gaps = check(database, market.events)
    assert [gap.cause for gap in gaps] == ["disconnected"] * 4 + ["stopped"] * 2
    # It was stopped again, so nothing is received.
    query = "SELECT symbol, cause, state FROM ticks_platform.feed_gap WHERE ends_at IS NULL ORDER BY symbol"
    assert rows(database, query) == [("AAPL", "stopped", "open"), ("BTC/USD", "stopped", "open")]


@pytest.mark.full
def test_a_stall_ends_coverage_with_the_last_data(ingest: Ingest, market: Market, database: Database) -> None:
    with ingest() as ingestion:
        await_covered(database)
        let_flow(market, ingestion)
        market.withhold(*SYMBOLS)
        await_rows(
            database,
            "SELECT symbol FROM ticks_platform.feed_coverage WHERE ended_by = 'stalled'",
            lambda found: len(found) == 2,
        )
        market.withhold()
        await_covered(database, 2)
        let_flow(market, ingestion)
    gaps = check(database, market.events)
    assert [gap.cause for gap in gaps] == ["stalled"] * 2


@pytest.mark.full
def test_a_silent_symbol_has_a_gap(
    ingest: Ingest, market: Market, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "EXPECTED_TICKS", 0.01)
    # Coverage ends with what was counted before the last count, so there have to be two.
    monkeypatch.setattr(silence, "COUNTING_INTERVAL", 0.0)
    with ingest() as ingestion:
        await_covered(database)
        for _ in range(2):
            let_flow(market, ingestion)
        market.withhold("AAPL")
        silent = "SELECT symbol FROM ticks_platform.feed_coverage WHERE ended_by = 'silent'"
        await_rows(database, silent, lambda found: found == [("AAPL",)])
        market.withhold()
        await_rows(
            database,
            "SELECT symbol FROM ticks_platform.feed_coverage WHERE ends_at IS NULL",
            lambda found: len(found) == 2,
        )
        let_flow(market, ingestion)
    gaps = check(database, market.events)
    # If it lasts long enough for a reconnect, the other symbol has a short gap too.
    assert [gap.cause for gap in gaps if gap.symbol == "AAPL"] == ["silent"]
    until = "SELECT ends_at > begins_at FROM ticks_platform.feed_coverage WHERE ended_by = 'silent'"
    assert rows(database, until) == [(True,)], "what had come before stays covered"


@pytest.mark.full
def test_a_silence_before_a_lost_connection_is_in_the_gap(
    feed: FeedSettings,
    ingest: Ingest,
    stand_in: StandIn,
    market: Market,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Too short to be reported during the connection, but longer than its rate explains."""
    monkeypatch.setattr(silence, "EXPECTED_TICKS", 0.2)
    feed.__dict__["stale_after_seconds"] = 60.0
    with ingest() as ingestion:
        await_covered(database)
        let_flow(market, ingestion)
        market.withhold("AAPL")
        for _ in range(3):
            let_flow(market, ingestion)
        stand_in.go_away(0.3)
        market.withhold()
        await_covered(database, 2)
        let_flow(market, ingestion)
    gaps = check(database, market.events)
    assert [(gap.symbol, gap.cause) for gap in gaps] == [("AAPL", "silent"), ("BTC/USD", "disconnected")]


@pytest.mark.full
def test_a_symbol_has_gaps_only_while_it_is_configured(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, market: Market, database: Database
) -> None:
    one = feed.model_copy(update={"symbols": feed.symbols[:1]})
    with ingest() as ingestion:
        await_covered(database)
        let_flow(market, ingestion)
        ingestion.apply_settings(one)
        await_rows(
            database,
            "SELECT symbol FROM ticks_platform.feed_coverage WHERE ended_by = 'unsubscribed'",
            lambda found: found == [("BTC/USD",)],
        )
        stand_in.go_away(0.3)
        await_rows(
            database,
            "SELECT symbol FROM ticks_platform.feed_coverage WHERE ends_at IS NULL AND connection > 1",
            lambda found: found == [("AAPL",)],
        )
        let_flow(market, ingestion)
        ingestion.apply_settings(feed)
        await_covered(database, 2)
        let_flow(market, ingestion)
    unwanted = rows(
        database,
        "SELECT wanted_until, lead(wanted_from) OVER (ORDER BY wanted_from) FROM ticks_platform.feed_symbol "
        "WHERE symbol = 'BTC/USD' ORDER BY wanted_from LIMIT 1",
    )
    begin, end = (moment.timestamp() for moment in unwanted[0])
    gaps = check(database, [event for event in market.events if event.symbol == "AAPL"])
    assert [(gap.symbol, gap.cause) for gap in gaps] == [("AAPL", "disconnected")]
    # The other symbol misses nothing from its subscription on, which followed soon after it was configured again.
    lost = missing(database, market.events)
    assert [run.symbol for run in lost] == ["AAPL", "BTC/USD"]
    assert begin - SLACK < lost[1].begin
    assert lost[1].end < end + SLACK


def test_the_gap_of_a_disabled_feed_is_ignored(ingest: Ingest, market: Market, database: Database) -> None:
    with ingest() as ingestion:
        await_covered(database)
        let_flow(market, ingestion)
        with database.transaction() as cursor:
            switch.set_enabled(cursor, feed="test", provider="twelve_data", synthetic=True, enabled=False)
        while not ingestion.wait(0.05):
            pass
    query = "SELECT DISTINCT cause, state FROM ticks_platform.feed_gap WHERE ends_at IS NULL"
    assert rows(database, query) == [("switched_off", "ignored")]


@pytest.mark.full
def test_after_kill_9_coverage_ends_with_the_journal(
    stand_in: StandIn, market: Market, database: Database, tmp_path: Path
) -> None:
    # The second one continues the journal of the first; the third one is on another machine.
    loaded = "SELECT count(*) FROM stocks_real_time"
    for run, folder in enumerate(("here", "here", "elsewhere"), start=1):
        order = Order(
            run=run,
            url=stand_in.url("twelve_data", key=None),
            database=database.url(),
            journal=str(tmp_path / folder / "journal.sqlite3"),
            side_file=str(tmp_path / "notes.jsonl"),
            max_megabytes=16,
        )
        ingester = Ingester(order, tmp_path / "log")
        try:
            await_covered(database, run)
            (before,) = rows(database, loaded)[0]
            await_rows(database, loaded, lambda found, before=before: found[0][0] > before + 80)
            ingester.signal(signal.SIGTERM if folder == "elsewhere" else signal.SIGKILL)
            ingester.wait(PATIENCE)
        finally:
            ingester.kill()
    gaps = check(database, market.events)
    assert [gap.cause for gap in gaps] == ["killed"] * 4
