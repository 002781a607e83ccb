"""`candles_as_of` beside what the test itself knows: each arrival of a run with faults, and what one without served."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from ticks_platform.feeds.events import Correction, Event, Frame, Tick
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import TakeLease, rows, unbalanced
from ticks_standin import StandIn

BEGIN = datetime(2026, 3, 3, 15, 0, tzinfo=timezone.utc)
HOURS = 2
EVERY = (timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1), timedelta(seconds=30))

_TAGS: dict[str, type[Event]] = {"tick": Tick, "correction": Correction}


class Arrival(NamedTuple):
    """An event, and when it arrived, in microseconds after BEGIN."""

    at: int
    event: Tick | Correction


def decode(data: bytes) -> list[Event]:
    tag, fields = msgspec.json.decode(data)
    return [msgspec.convert(fields, _TAGS[tag])]


def encode(event: Tick | Correction) -> bytes:
    return msgspec.json.encode(("tick" if isinstance(event, Tick) else "correction", msgspec.structs.asdict(event)))


def nanoseconds(microseconds: int) -> int:
    return int(BEGIN.timestamp()) * 10**9 + microseconds * 1000


def made(seed: int, ticks: int) -> list[Arrival]:
    """Arrivals of a run: most ticks at once, others late, sent twice, fetched an hour later, or taken back."""
    chance = random.Random(seed)
    found: list[Arrival] = []
    for number in range(ticks):
        # Whole seconds, as some providers stamp them: the order of arrival decides then.
        moment = chance.randrange(HOURS * 3600 - 60) * 1_000_000
        tick = Tick(
            "AAPL",
            nanoseconds(moment),
            100 + chance.randrange(400) / 4,
            size=float(chance.randrange(1, 200)),
            exchange="4",
            trade_id=str(number),
            updates=chance.choice((None, None, None, 4, 6)),
        )
        late, again = chance.random(), chance.random()
        delay = chance.randrange(500_000)
        if late < 0.1:
            delay += chance.randrange(1_200_000_000)
        elif late < 0.2:
            delay += 3_600_000_000 + chance.randrange(60_000_000)
        found.append(Arrival(moment + delay, tick))
        if again < 0.1:
            found.append(Arrival(moment + delay + chance.randrange(5_000_000_000), tick))
        if chance.random() < 0.15:
            known = moment + chance.randrange(-200_000, 5_000_000_000)
            names = ("AAPL", tick.time, "4", str(number))
            if chance.random() < 0.3:
                right = msgspec.structs.replace(tick, price=tick.price + 50)
                found.append(
                    Arrival(
                        max(known, moment + delay + 1),
                        Correction(*names, "corrected", "test", kept_price=right.price, kept_size=right.size),
                    )
                )
                found.append(Arrival(max(known, moment + delay + 1) + 1, right))
            else:
                found.append(Arrival(max(known, 0), Correction(*names, "cancelled", "test")))
    return sorted(found, key=lambda arrival: arrival.at)


class Stored(NamedTuple):
    """A tick as known at a moment."""

    tick: Tick
    arrival: int
    counts: bool


def known(arrivals: Sequence[Arrival], until: int) -> list[Stored]:
    """The ticks that had arrived by then, each once, and whether they had been taken back."""
    ticks: dict[str, list[Stored]] = {}
    waiting: set[str] = set()
    for place, (at, event) in enumerate(arrivals):
        if at > until:
            break
        assert event.trade_id is not None
        same = ticks.setdefault(event.trade_id, [])
        if isinstance(event, Correction):
            meant = [n for n, each in enumerate(same) if each.counts and each.tick.price != event.kept_price]
            if meant:
                same[meant[0]] = same[meant[0]]._replace(counts=False)
            elif not same:
                waiting.add(event.trade_id)
        elif all(not each.counts and each.tick.price != event.price for each in same):
            same.append(Stored(event, place, counts=event.trade_id not in waiting))
            waiting.discard(event.trade_id)
    return [each for of_id in ticks.values() for each in of_id]


Row = tuple[Any, ...]


def by_hand(arrivals: Sequence[Arrival], until: int, every: timedelta) -> list[Row]:
    """Bucket, four prices, volume, tick_count and price_count, as the docs define them."""
    part = timedelta(minutes=1) if every >= timedelta(minutes=1) else every
    parts: dict[int, list[Stored]] = {}
    for stored in known(arrivals, until):
        parts.setdefault((stored.tick.time - nanoseconds(0)) // 1000 // (part // timedelta(microseconds=1)), []).append(
            stored
        )
    buckets: dict[int, list[Row]] = {}
    for number, ticks in sorted(parts.items()):
        ticks.sort(key=lambda each: (each.tick.time, each.arrival))
        may = [(each.tick, each.tick.updates or 7) for each in ticks if each.counts]
        opens = [tick.price for tick, bits in may if bits & 1]
        extremes = [tick.price for tick, bits in may if bits & 2] if opens else []
        sizes = [tick.size or 0.0 for tick, bits in may if bits & 4]
        row = (opens[:1], extremes, opens[-1:], sum(sizes) if sizes else None, len(ticks))
        buckets.setdefault(number * part // every, []).append(row)
    return [
        (
            BEGIN + number * every,
            next((row[0][0] for row in rows_of if row[0]), None),
            max((price for row in rows_of for price in row[1]), default=None),
            min((price for row in rows_of for price in row[1]), default=None),
            next((row[2][0] for row in reversed(rows_of) if row[2]), None),
            sum(row[3] for row in rows_of if row[3] is not None) if any(row[3] for row in rows_of) else None,
            sum(row[4] for row in rows_of),
            sum(len(row[1]) for row in rows_of),
        )
        for number, rows_of in sorted(buckets.items())
    ]


@pytest.fixture
def load(database: Database, take_lease: TakeLease, tmp_path: Path) -> Iterator[Any]:
    """Load frames with the arrival that the test says."""
    opened: list[Journal] = []

    def run(arrivals: Sequence[Arrival]) -> None:
        lease = take_lease("one")
        journal = Journal(tmp_path / "journal.sqlite3", feed="test", synthetic=True)
        opened.append(journal)
        journal.seek(lease.position, frames=lease.frames)
        frames = [Frame(encode(event), nanoseconds(at), 1) for at, event in arrivals]
        for begin in range(0, len(frames), 50):
            journal.append(frames[begin : begin + 50], epoch=lease.epoch)
        journal.stop_appending()
        Loader(database=database, lease=lease, decode=decode, journal=journal, metrics=Metrics()).run()

    yield run
    for journal in opened:
        journal.close()


@pytest.mark.parametrize(
    ("moments", "ticks"), [(8, 300), pytest.param(200, 3000, marks=pytest.mark.full)], ids=["few", "many"]
)
def test_they_equal_a_computation_by_hand(database: Database, load: Any, moments: int, ticks: int) -> None:
    """Of a run with late ticks, ticks fetched later, repeats, cancels and corrections; half of it compressed."""
    seed = 14
    arrivals = made(seed, ticks)
    half = len(arrivals) // 2
    load(arrivals[:half])
    with database.autocommit() as cursor:
        cursor.execute("SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")
    load(arrivals[half:])
    assert unbalanced(database) == []
    chance = random.Random(seed)
    span = arrivals[-1].at + 1_000_000
    different: set[int] = set()
    while len(different) < moments:  # at some of them an event arrives
        different.add(chance.choice(arrivals).at if chance.random() < 0.2 else chance.randrange(span))
    asked = sorted(different)
    for every in EVERY:
        chosen = asked if every == EVERY[0] else asked[:: len(EVERY)]
        with database.transaction() as cursor:
            cursor.execute(
                "SELECT moment, bucket, open, high, low, close, volume, tick_count, price_count "
                "FROM unnest(%s::timestamptz[]) AS moment, LATERAL candles_as_of('AAPL', %s, %s, %s, moment)",
                (
                    [BEGIN + timedelta(microseconds=at) for at in chosen],
                    *(every, BEGIN, BEGIN + timedelta(hours=HOURS)),
                ),
            )
            found: dict[datetime, list[Row]] = {}
            for moment, *row in cursor.fetchall():
                found.setdefault(moment, []).append(tuple(row))
        for at in chosen:
            moment = BEGIN + timedelta(microseconds=at)
            assert found.get(moment, []) == by_hand(arrivals, at, every), f"{every} as of {moment}, seed {seed}"


_SERVED = """
SELECT
    (SELECT max(received_at) FROM stocks_real_time),
    (SELECT jsonb_agg(to_jsonb(candle) ORDER BY symbol, bucket) FROM one_minute_candle AS candle),
    (SELECT jsonb_agg(to_jsonb(candle) ORDER BY symbol, bucket) FROM one_hour_candle AS candle)
"""

_AS_OF = """
SELECT jsonb_agg(to_jsonb(candle) {without} ORDER BY symbol, bucket)
FROM unnest('{{AAPL,BTC/USD}}'::text[]) AS of (name),
    candles_as_of(name, %s, now() - INTERVAL '3 hours', now() + INTERVAL '1 hour', %s) AS candle
"""


@pytest.mark.parametrize("moments", [5, pytest.param(40, marks=pytest.mark.full)], ids=["few", "many"])
def test_they_equal_what_was_served(
    feed: FeedSettings, stand_in: StandIn, database: Database, tmp_path: Path, moments: int
) -> None:
    """Of a stream without faults. What had been committed is what a candle showed, so the moment asked for later is the
    newest arrival that was committed: a run commits in the order of arrival."""
    connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
    served: list[tuple[datetime, Any, Any]] = []
    chance = random.Random(1)
    with Ingestion(
        feed=feed, connector=connector, database=database, owner="test", journal_file=tmp_path / "stream.sqlite3"
    ) as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        for number in range(moments):
            before = ingestion.progress().loaded
            stand_in.send_exactly(chance.randrange(20, 200), timeout_s=60)
            deadline = time.monotonic() + 60
            while ingestion.progress().loaded == before:
                assert time.monotonic() < deadline, "nothing was committed"
                ingestion.wait(0.005)
            if number == moments // 2:
                with database.autocommit() as cursor:
                    for candle in candles.CANDLES:
                        candles.refresh_history(cursor, candle)
            served += rows(database, _SERVED)
    for known_at, minutes, hours in served:
        with database.transaction() as cursor:
            cursor.execute(_AS_OF.format(without=""), ("1 minute", known_at))
            assert cursor.fetchone() == (minutes,)
            without = "- '{first_time,last_time,day_volume_low,day_volume_high}'::text[]"
            cursor.execute(_AS_OF.format(without=without), ("1 hour", known_at))
            assert cursor.fetchone() == (hours,)
    assert len({known_at for known_at, *_ in served}) == moments
