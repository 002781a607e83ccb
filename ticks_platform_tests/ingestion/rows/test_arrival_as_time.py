"""Events to which the provider gives no time: they get their arrival, by the right clock, and tell nothing of it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ticks_platform.feeds.coinbase.connector import Coinbase
from ticks_platform.feeds.columns import Decoded, TickColumns
from ticks_platform.feeds.events import ARRIVAL, Bar, Event, Quote, Rejected, Tick, TradingHalt
from ticks_platform.feeds.history import Header, decode, frames
from ticks_platform.feeds.kraken import Kraken
from ticks_platform.ingestion.journal.file import FrameGroup, frame_size
from ticks_platform.ingestion.provider_clock import ProviderClocks
from ticks_platform.ingestion.rows.decode import decode_groups
from ticks_platform.subscribing import subscribe
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import SECOND
from ticks_platform_tests.feeds import test_coinbase as coinbase
from ticks_platform_tests.support.feeds import PeerServer
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, rows, unbalanced
from ticks_platform_tests.support.subscribing import Recorder, feed

NOW = time.time_ns()

EVENTS: dict[bytes, list[Event]] = {
    b"quote": [Quote("AAPL", ARRIVAL, 1.0, 2.0, 3.0, 4.0)],
    b"tick": [Tick("AAPL", ARRIVAL, 1.5, trade_id="1")],
    b"halt": [TradingHalt("AAPL", ARRIVAL, "halt")],
    b"bar": [Bar("AAPL", ARRIVAL, ARRIVAL, 1.0, 1.0, 1.0, 1.0)],
    b"both": [Quote("AAPL", ARRIVAL, 5.0), Quote("MSFT", NOW - SECOND, 6.0)],
}


def group(*frames: bytes, received_at: int = NOW) -> FrameGroup:
    arrivals = [received_at + place for place in range(len(frames))]
    return FrameGroup(0, sum(map(frame_size, frames)), 1, 1, arrivals, list(frames), 0)


def test_each_gets_the_arrival_of_its_frame() -> None:
    batch = decode_groups([group(b"quote", b"tick", b"halt", b"both")], EVENTS.__getitem__)
    assert [quote.time for quote in batch.quotes.as_events()] == [NOW, NOW + 3, NOW - SECOND]
    assert [tick.time for tick in batch.ticks.as_events()] == [NOW + 1]
    assert [halt.time for halt in batch.halts.as_events()] == [NOW + 2]
    assert batch.rejected == []


def test_a_bar_has_a_window_of_its_own() -> None:
    batch = decode_groups([group(b"bar")], EVENTS.__getitem__)
    assert [event.reason for event in batch.rejected] == ["the time is before 1990"]


def test_so_do_columns() -> None:
    def decode_many(frames: Sequence[bytes]) -> Decoded:
        ticks = [Tick("AAPL", ARRIVAL, 1.5), Tick("MSFT", NOW - SECOND, 2.5)]
        return Decoded(TickColumns.of(ticks), [2] * len(frames))

    batch = decode_groups([group(b"tick")], EVENTS.__getitem__, decode_many)
    assert [tick.time for tick in batch.ticks.as_events()] == [NOW, NOW - SECOND]


def test_it_is_the_right_time_and_no_evidence_of_it() -> None:
    """This machine's clock is 20 minutes behind: trades tell that, and their arrival is what quotes get."""
    behind = 1200 * SECOND
    events = {f"{number}".encode(): [Tick("AAPL", NOW + behind + number, 1.5)] for number in range(40)}
    mixed = [frame for number in range(40) for frame in (f"{number}".encode(), b"quote")]
    batch = decode_groups([group(*mixed)], lambda frame: events.get(frame) or EVENTS[frame], None, ProviderClocks())
    assert batch.rejected == []
    stored = [quote.time for quote in batch.quotes.as_events()]
    assert stored == batch.quotes.received_at.tolist()
    assert all(abs(at - NOW - behind) < 2 * SECOND for at in stored)
    clocks = ProviderClocks()
    alone = decode_groups([group(*[b"quote"] * 200)], EVENTS.__getitem__, None, clocks)
    assert not clocks.of(1, 1).has_witness
    assert alone.quotes.as_events()[-1].time == NOW + 199


def test_they_are_stored(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    make_loader(take_lease("one"), [b"quote", b"tick", b"both", b"tick"], EVENTS.__getitem__).run()
    quotes = "SELECT symbol, bid_price, time = received_at FROM stock_quotes ORDER BY bid_price"
    assert rows(database, quotes) == [("AAPL", 1.0, True), ("AAPL", 5.0, True), ("MSFT", 6.0, False)]
    ticks = "SELECT price, time = received_at FROM stocks_real_time"
    assert rows(database, ticks) == [(1.5, True)], "the trade that came again is the same"
    assert unbalanced(database) == []


def test_the_past_has_no_arrival() -> None:
    history = Kraken(url=None, api_key=None).history()
    history.decode = lambda header, results: [Tick("A", ARRIVAL, 1.0), Tick("A", 5, 1.0)]  # type: ignore[method-assign]
    (frame,) = frames(Header("kraken trades", "A"), [b"1"])  # type: ignore[list-item]
    rejected, good = decode(history, frame)
    assert isinstance(rejected, Rejected)
    assert good == Tick("A", 5, 1.0)


class Timeless(Coinbase):
    def decode(self, frame: bytes) -> list[Event]:
        return [Quote(event.symbol, ARRIVAL, event.price) for event in super().decode(frame) if isinstance(event, Tick)]


def test_a_subscriber_gets_it() -> None:
    recorder = Recorder()
    begin = time.time()
    with PeerServer(coinbase.exchange) as server:
        settings = feed(server.url, f"{__name__}.Timeless", symbols=["BTC-USD"], api_key_env=None)
        with subscribe(settings, recorder):
            recorder.wait_for(2)
    assert all(begin - 1 < change.time.timestamp() < time.time() + 1 for change in recorder.changes)
    assert all(change.row.time > begin * SECOND - SECOND for change in recorder.changes)
