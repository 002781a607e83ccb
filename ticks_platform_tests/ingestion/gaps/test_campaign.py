"""Random faults of two feeds (lost connections, silence, kills, hand-overs): every gap is known and fully repaired.

`make soak` runs it. TICKS_GAP_FAULTS is the number of faults (default 6), TICKS_GAP_SEED selects other ones. With more
than six, the feed that has bars only is repaired too, after its last minute. It fails on a busy machine: an event that
arrives more than a second late counts as a gap without missing events.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.timescale.candles import candles, late_ticks, reconciliation
from ticks_platform.timescale.candles.candles import ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import follower
from ticks_platform_tests.support.children import Child
from ticks_platform_tests.support.follower import Order
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import KEY, close_gaps, polygon, repair, twelve_data
from ticks_standin import MadeEvent, StandIn, StandInSettings

FAULTS = int(os.environ.get("TICKS_GAP_FAULTS", "6"))
SEED = int(os.environ.get("TICKS_GAP_SEED", "20261125"))

pytestmark = pytest.mark.full

PATIENCE = 60.0

SLACK = timedelta(seconds=1)
"""How long nothing may be missing at either end of a gap, or within it."""

SLACK_OF_SILENCE = timedelta(seconds=2.5)
"""The same if a symbol was silent: its rate is computed once a second."""

COVERED = timedelta(seconds=1)
"""How long a connection must receive data before the gap before it ends."""


class Owner(Child):
    """An ingestion of a feed in a separate process."""

    def __init__(self, feed: FeedSettings, database: Database, folder: Path, owner: str, *, planned: bool) -> None:
        super().__init__(
            follower.main,
            Order(
                feed=feed.model_dump(mode="json"),
                url="",
                database=database.url(),
                journal=str(folder / f"{feed.name}.sqlite3"),
                owner=owner,
                overlap=0.5,
                planned=planned,
            ),
        )

    def stop(self) -> None:
        """Stop it; it commits its journal."""
        self.signal(signal.SIGTERM)
        self.wait(PATIENCE)


class Campaign:
    """Two feeds of one market, and the faults that are made."""

    def __init__(self, database: Database, stand_in: StandIn, folder: Path, seed: int) -> None:
        self.database = database
        self.stand_in = stand_in
        self.folder = folder
        self.tape = polygon(stand_in, symbols=["AAPL", "MSFT"]).model_copy(update={"stale_after_seconds": 1.0})
        self.stocks = twelve_data(stand_in, symbols=["BTC/USD", "NVDA"]).model_copy(
            update={"stale_after_seconds": 1.0, "overlap": True}
        )
        self.tape = self.tape.model_copy(update={"overlap": True})
        self._seeded = random.Random(seed)
        self._owners: dict[str, Owner] = {}
        self._count = 0

    def run(self, faults: int) -> list[str]:
        """Make so many faults, and return their descriptions."""
        kinds: list[Callable[[], str]] = [self._cut, self._away, self._mute, self._kill, self._hand_over, self._stop]
        # Each kind once before any is repeated.
        order: list[Callable[[], str]] = []
        while len(order) < faults:
            order += self._seeded.sample(kinds, len(kinds))
        try:
            for feed in (self.tape, self.stocks):
                self._begin(feed)
            done = []
            for fault in order[:faults]:
                self._let_flow()
                done.append(f"{datetime.now(timezone.utc):%H:%M:%S.%f} {fault()}")
            self._let_flow()
            self._let_flow(COVERED)
            return done
        finally:
            for owner in self._owners.values():
                owner.stop()

    def _begin(self, feed: FeedSettings, *, planned: bool = False) -> Owner:
        self._count += 1
        owner = Owner(feed, self.database, self.folder, f"owner {self._count}", planned=planned)
        self._owners[feed.name] = owner
        return owner

    def _let_flow(self, after: timedelta = timedelta()) -> None:
        """Wait until each symbol has an event that arrived so many seconds after now."""
        since = datetime.now(timezone.utc) + after
        deadline = time.monotonic() + PATIENCE
        while (
            len(rows(self.database, f"SELECT DISTINCT symbol FROM stocks_real_time WHERE received_at > '{since}'")) < 4
        ):
            assert time.monotonic() < deadline, "no more events are loaded"
            time.sleep(0.05)

    def _feed(self) -> FeedSettings:
        return self._seeded.choice([self.tape, self.stocks])

    def _cut(self) -> str:
        code = self._seeded.choice([None, 1000, 1001, 1011])
        if code is None:
            self.stand_in.drop_connections()
        else:
            self.stand_in.close_connections(code)
        return f"cut ({code})"

    def _away(self) -> str:
        seconds = self._seeded.uniform(0.2, 2.0)
        self.stand_in.go_away(seconds)
        return f"away for {seconds:.1f} s"

    def _mute(self) -> str:
        self.stand_in.go_mute()
        deadline = time.monotonic() + PATIENCE
        while rows(self.database, "SELECT FROM ticks_platform.feed_coverage WHERE ends_at IS NULL"):
            assert time.monotonic() < deadline, "the silence was not detected"
            time.sleep(0.05)
        self.stand_in.unmute()
        return "mute until it was detected"

    def _kill(self) -> str:
        feed = self._feed()
        self._owners[feed.name].kill()
        self._begin(feed)
        return f"kill -9 of {feed.name}"

    def _stop(self) -> str:
        feed = self._feed()
        self._owners[feed.name].stop()
        self._begin(feed)
        return f"{feed.name} stopped"

    def _hand_over(self) -> str:
        feed = self._feed()
        before = self._owners[feed.name]
        self._begin(feed, planned=True)
        before.wait(PATIENCE)
        return f"{feed.name} handed over"


class Missing(NamedTuple):
    """An event that is not in the table, with the time when it was made."""

    symbol: str
    at: datetime


def told(event: MadeEvent) -> tuple[object, ...]:
    """The columns that identify an event."""
    made = event.decoded()
    if event.name.startswith("T."):
        return (event.symbol, made["i"])
    return (event.symbol, made["timestamp"], made["price"], made.get("day_volume"))


def stored(database: Database) -> Counter[tuple[object, ...]]:
    found = rows(
        database,
        "SELECT symbol, trade_id, extract(epoch FROM time)::bigint, price, day_volume FROM stocks_real_time",
    )
    return Counter(
        (symbol, trade_id) if trade_id else (symbol, second, price, volume)
        for symbol, trade_id, second, price, volume in found
    )


def missing(made: list[MadeEvent], there: Counter[tuple[object, ...]]) -> list[Missing]:
    """The events between the first and the last stored event of their symbol that are not stored."""
    count = Counter(told(event) for event in made)
    assert there <= count, f"stored, but never made, or stored twice: {list(there - count)[:5]}"
    by_symbol: dict[str, list[tuple[MadeEvent, bool]]] = {}
    for event in made:
        key = told(event)
        # Of equal events it is unknown which one is stored.
        if there[key] in (0, count[key]):
            by_symbol.setdefault(event.symbol, []).append((event, there[key] > 0))
    found = []
    for symbol, events in by_symbol.items():
        places = [place for place, (_, is_there) in enumerate(events) if is_there]
        found += [
            Missing(symbol, datetime.fromtimestamp(event.made_ms / 1000, timezone.utc))
            for event, is_there in events[places[0] : places[-1] + 1]
            if not is_there
        ]
    return found


def check_gaps(database: Database, lost: list[Missing]) -> int:
    """Check that every missing event is in a gap of its symbol, and no gap is longer; returns the number of gaps."""
    known = rows(
        database,
        "SELECT symbol, begins_at, ends_at, cause FROM ticks_platform.feed_gap "
        "WHERE ends_at IS NOT NULL ORDER BY begins_at",
    )
    millisecond = timedelta(milliseconds=1)  # the stand-in's unit
    inside: dict[int, list[datetime]] = {place: [] for place in range(len(known))}
    for symbol, at in lost:
        around = [
            place
            for place, (of, begin, end, _) in enumerate(known)
            if of == symbol and begin <= at + millisecond and at <= end
        ]
        assert around, f"missing, but in no gap: {symbol} at {at}\n{_neighbourhood(database, symbol, at)}"
        for place in around:
            inside[place].append(at)
    for place, (symbol, begin, end, cause) in enumerate(known):
        slack = SLACK_OF_SILENCE if cause == "silent" else SLACK
        edges = [begin, *sorted(inside[place]), end]
        longest = max(later - earlier for earlier, later in itertools.pairwise(edges))
        assert longest <= slack, f"nothing is missing for {longest} in {begin} to {end}, {cause}\n" + _neighbourhood(
            database, symbol, end
        )
    return len(known)


def _neighbourhood(database: Database, symbol: str, at: datetime) -> str:
    """The rows of a symbol around a time, for a failure message."""
    where = f"symbol = '{symbol}' AND coalesce(ends_at, 'infinity') > '{at}'::timestamptz - INTERVAL '10 s'"
    found = [
        *rows(database, f"SELECT 'coverage', * FROM ticks_platform.feed_coverage WHERE {where} ORDER BY begins_at"),
        *rows(database, f"SELECT 'gap', * FROM ticks_platform.feed_gap WHERE {where} ORDER BY begins_at"),
        *rows(
            database,
            f"SELECT 'tick', time, received_at, tick_id::text, price FROM stocks_real_time WHERE symbol = '{symbol}' "
            f"AND received_at BETWEEN '{at}'::timestamptz - INTERVAL '1 s' AND '{at}'::timestamptz + INTERVAL '1 s' "
            "ORDER BY received_at",
        ),
    ]
    return "\n".join(" ".join(map(str, row)) for row in found)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "demo")


def test_every_gap_is_known_and_repaired(database: Database, tmp_path: Path) -> None:
    traded = frozenset({"T.AAPL", "T.MSFT", "price.BTC/USD", "price.NVDA"})
    settings = StandInSettings(
        rate=200,
        history_events=500_000,
        traded=traded,
        max_connections=9,
        rest_open_bar=True,
        polygon_tape="plain",
    )
    with StandIn(settings) as stand_in:
        campaign = Campaign(database, stand_in, tmp_path, SEED)
        done = campaign.run(FAULTS)
        print(f"seed {SEED}: {', '.join(done)}")
        everything = stand_in.made(*traded, payloads=True)
        assert everything.forgotten == 0
        for feed in (campaign.tape, campaign.stocks):
            with database.transaction() as cursor:
                gaps.update(cursor, feed.name, now=datetime.now(timezone.utc))
        there = stored(database)
        lost = missing(everything.events, there)
        found = check_gaps(database, lost)
        print(f"{len(everything.events)} made, {there.total()} stored, {len(lost)} missing, {found} gaps")
        assert unbalanced(database) == []

        _repair(database, campaign.tape, tmp_path)
        # A repair also requests some seconds around a gap, and the market continues.
        trades = stand_in.made("T.AAPL", "T.MSFT", payloads=True).events
        assert missing(trades, Counter({key: n for key, n in stored(database).items() if len(key) == 2})) == []
        _check_candles(database, trades)
        if FAULTS > 6:
            _await_minute()
            _repair(database, campaign.stocks, tmp_path)
            _check_filled(database, stand_in.made("price.BTC/USD", "price.NVDA", payloads=True).events)
        assert unbalanced(database) == []


def _repair(database: Database, feed: FeedSettings, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        repair(database, feed, folder)
        if close_gaps(database, feed).left == 0:
            break
        assert time.monotonic() < deadline, "some gaps stay open"
        time.sleep(0.2)
    closed = "SELECT state, count(*) FROM ticks_platform.feed_gap WHERE ends_at IS NOT NULL AND feed = %r GROUP BY 1"
    assert {state for state, _ in rows(database, closed % feed.name)} <= {"repaired"}


def _check_candles(database: Database, trades: list[MadeEvent]) -> None:
    """Check that the candles of minutes that were streamed completely are those of the trades that were made."""
    with database.autocommit() as cursor:
        days = repair_gaps.days_to_refresh(cursor, "tape")
        for begin, end in days:
            late_ticks.refresh_days(cursor, begin, end)
        assert reconciliation.reconcile(cursor, window=timedelta(hours=3)).left.differing == 0
    spans = {
        symbol: (first, last)
        for symbol, first, last in rows(
            database, "SELECT symbol, min(time), max(time) FROM stocks_real_time GROUP BY symbol"
        )
    }
    expected: dict[tuple[str, datetime], list[float]] = {}
    for event in sorted(trades, key=lambda event: (event.time_ns, event.number)):
        at = datetime.fromtimestamp(event.time_ns // 1_000_000 / 1000, timezone.utc)
        first, last = spans[event.symbol]
        if first <= at <= last:
            price = float(event.decoded()["p"])
            key = (event.symbol, candles.floor(at, ONE_MINUTE))
            known = expected.setdefault(key, [price, price, price, price, 0])
            known[1], known[2], known[3] = max(known[1], price), min(known[2], price), price
            known[4] += 1
    actual = rows(
        database,
        "SELECT symbol, bucket, open, high, low, close, tick_count FROM one_minute_candle "
        "WHERE symbol IN ('AAPL', 'MSFT')",
    )
    assert {(symbol, bucket): values for symbol, bucket, *values in actual} == expected


def _await_minute() -> None:
    """Wait until the minute of the last gap is over."""
    end = repair_gaps.minute(datetime.now(timezone.utc)) + timedelta(minutes=1)
    while datetime.now(timezone.utc) < end:
        time.sleep(0.2)


def _check_filled(database: Database, prices: list[MadeEvent]) -> None:
    """Check that in minutes with a gap, the candles are the provider's bars, which include what it did not send."""
    bars: dict[tuple[str, datetime], list[float]] = {}
    for event in prices:
        made = event.decoded()
        at = datetime.fromtimestamp(made["timestamp"], timezone.utc)
        price = float(made["price"])
        known = bars.setdefault((event.symbol, candles.floor(at, ONE_MINUTE)), [price, price, price, price])
        known[1], known[2], known[3] = max(known[1], price), min(known[2], price), price
    filled = rows(
        database, "SELECT symbol, bucket, open, high, low, close FROM one_minute_candle_filled WHERE source = 'bars'"
    )
    over = repair_gaps.minute(datetime.fromtimestamp(prices[-1].made_ms / 1000, timezone.utc))
    touched = {
        (symbol, bucket)
        for symbol, bucket in rows(
            database,
            "SELECT DISTINCT symbol, bucket FROM ticks_platform.feed_gap, generate_series("
            "time_bucket(INTERVAL '1 minute', begins_at), ends_at, INTERVAL '1 minute') AS bucket "
            "WHERE feed = 'stocks' AND ends_at IS NOT NULL",
        )
    }
    assert {(symbol, bucket) for symbol, bucket, *_ in filled} == touched
    assert touched
    for symbol, bucket, *values in filled:
        if bucket < over:
            assert values == bars[symbol, bucket], (symbol, bucket)
