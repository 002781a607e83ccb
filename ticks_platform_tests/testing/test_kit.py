"""The kit finds what is wrong with a connector; it needs no test framework, and puts frames into a database."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ticks_platform.connectors import (
    Acknowledged,
    Connector,
    Control,
    Endpoint,
    Event,
    Notice,
    Reaction,
    Rejected,
    Tick,
)
from ticks_platform.errors import TicksPlatformError
from ticks_platform.feeds.coinbase.connector import Coinbase
from ticks_platform.feeds.columns import Decoded
from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest, Page, Span
from ticks_platform.feeds.kraken import Kraken
from ticks_platform.feeds.kraken.connector import KrakenConversation
from ticks_platform.feeds.kraken.history import KrakenHistory
from ticks_platform.feeds.updates import CANCELLED
from ticks_platform.testing import (
    ConnectorKit,
    LiveServer,
    PastServer,
    StoredFrames,
    Stream,
    Trade,
    damaged,
    events,
    fetch,
    live,
    store_frames,
    trades,
)
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import SECOND, from_nanoseconds, to_nanoseconds
from ticks_platform_tests.feeds import test_kraken as kraken
from ticks_platform_tests.support.ingestion import rows


class Broken(Kraken):
    """A connector with a fault that each of its subclasses has."""


class Raises(Broken):
    def decode(self, frame: bytes) -> list[Event]:
        return [Tick("BTC/USD", 1, 1.0)] if json.loads(frame) else []


class SaysNothing(Broken):
    def decode(self, frame: bytes) -> list[Event]:
        return [event for event in super().decode(frame) if not isinstance(event, Control | Rejected)]


class WrongUnit(Broken):
    def decode(self, frame: bytes) -> list[Event]:
        return _changed(super().decode(frame), lambda tick: {"time": tick.time // 1000})


class WrongSymbol(Broken):
    def decode(self, frame: bytes) -> list[Event]:
        return _changed(super().decode(frame), lambda tick: {"symbol": tick.symbol.replace("/", "")})


class NotANumber(Broken):
    def decode(self, frame: bytes) -> list[Event]:
        return _changed(super().decode(frame), lambda tick: {"size": float("nan")} if not tick.malformed else {})


class Counts(Broken):
    """Its result depends on what came before."""

    count = 0

    def decode(self, frame: bytes) -> list[Event]:
        self.count += 1
        return _changed(super().decode(frame), lambda _: {"trade_id": str(self.count)})


class OneId(Broken):
    def decode(self, frame: bytes) -> list[Event]:
        return _changed(super().decode(frame), lambda _: {"trade_id": "0"})


class Together(Broken):
    def decode_many(self, frames: Sequence[bytes]) -> Decoded | None:
        found = [super(Together, self).decode(frame)[:1] for frame in reversed(frames)]
        return Decoded([event for part in found for event in part], [1] * len(frames))


class Generates(Broken):
    def decode(self, frame: bytes) -> Any:
        return (event for event in super().decode(frame))


class Tells(Broken):
    """A path of `decode` without a result."""

    def decode(self, frame: bytes) -> Any:
        return None if b"trade_id" in frame else super().decode(frame)


class Texts(Broken):
    """Numbers as the provider writes them."""

    def decode(self, frame: bytes) -> list[Event]:
        return _changed(super().decode(frame), lambda tick: {"price": str(tick.price)})


class Decimals(Broken):
    def decode(self, frame: bytes) -> list[Event]:
        return _changed(super().decode(frame), lambda tick: {"size": Decimal(tick.size or 0)})


class Datetimes(Broken):
    def decode(self, frame: bytes) -> list[Event]:
        return _changed(super().decode(frame), lambda tick: {"time": from_nanoseconds(tick.time)})


class Naive(Broken):
    """It takes a time without a zone, which is UTC, for local time."""

    def decode(self, frame: bytes) -> list[Event]:
        def local(tick: Tick) -> dict[str, Any]:
            naive = from_nanoseconds(tick.time).replace(tzinfo=None)
            return {"time": round(naive.timestamp() * 1e6) * 1000}

        return _changed(super().decode(frame), local)


class Numbers(Broken):
    def decode(self, frame: bytes) -> list[Event]:
        return _changed(super().decode(frame), lambda tick: {"trade_id": int(tick.trade_id or 0)})


class FirstOnly(Broken):
    """Of several trades in a frame, it tells the first."""

    def decode(self, frame: bytes) -> list[Event]:
        return super().decode(frame)[:1]


class Swallows(Broken):
    """It leaves out what it takes for the same trade."""

    def decode(self, frame: bytes) -> list[Event]:
        found = super().decode(frame)
        return [Control("small") if isinstance(event, Tick) and (event.size or 0) < 60 else event for event in found]


class OneText(Broken):
    def channels(self, symbol: str) -> Any:
        return self.symbol_of(symbol)


class _OneMessage(KrakenConversation):
    def subscribe(self, channels: Sequence[str]) -> Any:
        return super().subscribe(channels)[0]


class OneMessage(Broken):
    def converse(self) -> KrakenConversation:
        return _OneMessage()


class _Bytes(KrakenConversation):
    def subscribe(self, channels: Sequence[str]) -> Any:
        return [message.encode() for message in super().subscribe(channels)]


class Bytes(Broken):
    def converse(self) -> KrakenConversation:
        return _Bytes()


class _OtherNames(KrakenConversation):
    """It confirms by the names of the symbols, and not of the channels."""

    def receive(self, frame: bytes) -> Reaction:
        reaction = super().receive(frame)
        notices: list[Notice] = [
            Acknowledged(tuple(map(str.lower, each.channels))) if isinstance(each, Acknowledged) else each
            for each in reaction.notices
        ]
        return reaction._replace(notices=tuple(notices))


class OtherNames(Broken):
    def converse(self) -> KrakenConversation:
        return _OtherNames()


class _Raises(KrakenConversation):
    def receive(self, frame: bytes) -> Reaction:
        return super().receive(json.dumps(json.loads(frame)).encode())


class ReceiveRaises(Broken):
    def converse(self) -> KrakenConversation:
        return _Raises()


class _Beats(KrakenConversation):
    heartbeat_interval = 5.0

    def heartbeat(self) -> Any:
        return {"method": "ping"}


class Beats(Broken):
    def converse(self) -> KrakenConversation:
        return _Beats()


class Talkative(Broken):
    """Its URL, which is logged, has the key."""

    def endpoint(self) -> Endpoint:
        return Endpoint(f"{self.url}?key={self.api_key}", {}, f"{self.url}?key={self.api_key}")


class _Deaf(KrakenConversation):
    def receive(self, frame: bytes) -> Reaction:
        return super().receive(frame)._replace(notices=())


class Deaf(Broken):
    """It does not read confirmations."""

    def converse(self) -> KrakenConversation:
        return _Deaf()


class _Lively(KrakenConversation):
    def receive(self, frame: bytes) -> Reaction:
        return super().receive(frame)._replace(has_data=True)


class Lively(Broken):
    """It takes heartbeats for data: that the provider sends nothing else would never be seen."""

    def converse(self) -> KrakenConversation:
        return _Lively()


class _Skips(KrakenConversation):
    def to_read(self, frames: Sequence[bytes]) -> Sequence[int]:
        return ()


class Skips(Broken):
    """It does not read what may be no data."""

    def converse(self) -> KrakenConversation:
        return _Skips()


class _Short(KrakenHistory):
    """It leaves the last trade of a page out."""

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        return super().page(span._replace(end=span.end - 1_000_000), cursor, answer)


class Short(Broken):
    def history(self) -> KrakenHistory:
        return _Short(url=self.url)


class _Late(KrakenHistory):
    def decode(self, header: Any, results: list[msgspec.Raw]) -> list[Event]:
        return _changed(super().decode(header, results), lambda tick: {"time": tick.time + SECOND})


class Late(Broken):
    """Its history has other times than its WebSocket."""

    def history(self) -> KrakenHistory:
        return _Late(url=self.url)


class _Trusting(KrakenHistory):
    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        results = json.loads(answer.body)["result"]
        return super().page(span, cursor, answer) if results else Page([], 0, None)


class Trusting(Broken):
    def history(self) -> KrakenHistory:
        return _Trusting(url=self.url)


class _Endless(KrakenHistory):
    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        return super().page(span, cursor, answer)._replace(cursor=cursor)


class _FirstPage(KrakenHistory):
    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        return super().page(span, cursor, answer)._replace(cursor=None)


class FirstPage(Broken):
    def history(self) -> KrakenHistory:
        return _FirstPage(url=self.url)


class _Overlaps(KrakenHistory):
    """The last results of a page are in the next one too."""

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        page = super().page(span, cursor, answer)
        return page._replace(frames=[*page.frames, *page.frames[-1:]])


class Overlaps(Broken):
    def history(self) -> KrakenHistory:
        return _Overlaps(url=self.url)


class _KeyInUrl(KrakenHistory):
    def request(self, span: Span, cursor: str) -> HistoryRequest:
        request = super().request(span, cursor)
        return request._replace(url=f"{request.url}&key=key-of-the-kit")


class KeyInUrl(Broken):
    def history(self) -> KrakenHistory:
        return _KeyInUrl(url=self.url)


class _Brittle(KrakenHistory):
    """It takes each result for a whole one."""

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        page = super().page(span, cursor, answer)
        results = [result for trades in json.loads(answer.body)["result"].values() if trades for result in trades]
        assert all(len(result) > 6 for result in results if isinstance(result, list))
        return page


class Brittle(Broken):
    def history(self) -> KrakenHistory:
        return _Brittle(url=self.url)


class _Unaware(KrakenHistory):
    """It does not look at errors that have a status of 200."""

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        return Page([], 0, None) if b"Rate limit" in answer.body else super().page(span, cursor, answer)


class Unaware(Broken):
    def history(self) -> KrakenHistory:
        return _Unaware(url=self.url)


class _Mute(KrakenConversation):
    """It does not read refusals."""

    def receive(self, frame: bytes) -> Reaction:
        return Reaction() if b"not supported" in frame else super().receive(frame)


class Mute(Broken):
    def converse(self) -> KrakenConversation:
        return _Mute()


class Elsewhere(Broken):
    """Its history asks the provider itself, whatever address a test gives."""

    def history(self) -> KrakenHistory:
        return KrakenHistory(url="wss://ws.kraken.com/v2")


class NoHistory(Broken):
    def history(self) -> Any:
        return None


class Endless(Broken):
    def history(self) -> KrakenHistory:
        return _Endless(url=self.url)


def _changed(events: list[Event], change: Any) -> list[Event]:
    return [msgspec.structs.replace(event, **change(event)) if isinstance(event, Tick) else event for event in events]


def kit(connector: type[Connector]) -> ConnectorKit:
    return ConnectorKit(
        connector,
        ["BTC/USD", "ETH/EUR"],
        kraken.frame,
        kraken.answer,
        recorded=[kraken.HEARTBEAT],
        past=kraken.KIT.past,
        batch=kraken.batch,
        errors=kraken.KIT.errors,
        refused="NOPE/USD",
    )


@pytest.mark.parametrize(
    ("connector", "case", "told"),
    [
        (Raises, "damaged frames harm nothing", "decode raised"),
        (SaysNothing, "damaged frames harm nothing", "no event of"),
        (WrongUnit, "a trade is a tick", "0.001 times as much"),
        (WrongSymbol, "a trade is a tick", "symbol_of says 'BTC/USD'"),
        (NotANumber, "a trade is a tick", "only finite numbers"),
        (Generates, "a trade is a tick", "a generator, of .*: it must return a list"),
        (Tells, "a trade is a tick", "None, a NoneType, of .*: it must return a list"),
        (Texts, "a trade is a tick", "make a float of the str"),
        (Decimals, "a trade is a tick", "make a float of the Decimal"),
        (Datetimes, "a trade is a tick", "a datetime: times are whole nanoseconds .*to_nanoseconds"),
        (Naive, "the time zone of the machine does not matter", "without a time zone is taken for local time"),
        (Numbers, "a trade is a tick", "trade_id is 1, which is no text: make a str of it"),
        (FirstOnly, "a frame of several trades has each of them", "a frame of 10 trades gave 1"),
        (Swallows, "a trade is a tick", "of one trade gave .*Control"),
        (OneText, "a subscription is requested and confirmed", "returned the text 'BTC/USD': return a tuple"),
        (OneMessage, "a subscription is requested and confirmed", "subscribe returned the text .* a list of messages"),
        (Bytes, "a subscription is requested and confirmed", "a bytes: messages are texts"),
        (Beats, "a subscription is requested and confirmed", "heartbeat returned .*a dict: messages are texts"),
        (OtherNames, "a subscription is requested and confirmed", r"confirmed \['btc/usd', 'eth/eur'\], and not"),
        (Deaf, "a subscription is requested and confirmed", "confirmed nothing, and not .*notices=.*Acknowledged"),
        (Lively, "a subscription is requested and confirmed", "has no market data"),
        (Talkative, "a subscription is requested and confirmed", "public_url has the API key"),
        (ReceiveRaises, "damaged frames harm nothing", r"receive raised .*it must return Reaction\(\)"),
        (Counts, "a trade is a tick", "other events the second time"),
        (OneId, "a trade is a tick", "two trades have one trade_id"),
        (Together, "frames mean the same together", "decode_many"),
        (Skips, "frames mean the same together", "to_read leaves out"),
        (Lively, "recorded frames are read", "has_data=True"),
        (Deaf, "it recovers from a dropped connection", "the provider's confirmation of BTC/USD, ETH/EUR"),
        (Short, "history has each trade once", r"\d+ trades of \d+|not the ticks"),
        (Short, "campaign 1", "trades are missing"),
        (Late, "history has each trade once", "not the ticks that the WebSocket has"),
        (Late, "campaign 1", "one trade came as"),
        (Trusting, "history stands any answer", "which is no HistoryError"),
        (FirstPage, "history reads all pages", "1000 trades of 2007: it ends before the span does"),
        (Overlaps, "history reads all pages", "come twice, such as .*: do pages overlap"),
        (Mute, "a symbol that is refused is told", r"\['NOPE/USD'\] should be refused, .*return ChannelsFailed"),
        (Brittle, "damaged answers of the history harm nothing", "which is no HistoryError"),
        (Unaware, "errors of the history are what they mean", "RateLimitedError: a gap without results counts as rep"),
        (Elsewhere, "history has each trade once", r"asks https://api.kraken.com/.*base_url\(self.url"),
        (KeyInUrl, "history has each trade once", "has the API key: URLs are logged"),
        (Endless, "history has each trade once", "does not end: after page 1, .*a page read before"),
    ],
)
def test_a_fault_is_found(connector: type[Connector], case: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "TIMEOUT", 0.5)
    (found,) = (each for each in kit(connector).cases(seeds=[1]) if each.name.startswith(case))
    with pytest.raises(AssertionError, match=told):
        found.run()


def test_a_past_without_a_history_is_told() -> None:
    with pytest.raises(AssertionError, match="leave `past` out, or return a History"):
        kit(NoHistory).cases()


def test_a_past_that_raises_is_told() -> None:
    broken = ConnectorKit(Kraken, ["BTC/USD"], kraken.frame, kraken.answer, past=lambda known, _: (200, known["NOPE"]))
    (found,) = (each for each in broken.cases() if each.name == "history has each trade once")
    with pytest.raises(AssertionError, match=r"`past` raised KeyError\('NOPE'\) for /0/public/Trades"):
        found.run()
    wrong = ConnectorKit(Kraken, ["BTC/USD"], kraken.frame, kraken.answer, past=lambda known, _: (404, b""))
    (found,) = (each for each in wrong.cases() if each.name == "history has each trade once")
    with pytest.raises(AssertionError, match=r"the history took the answer to .* for PermanentError"):
        found.run()


def test_a_past_that_ignores_the_limit_is_told() -> None:
    ignoring = ConnectorKit(
        Kraken,
        ["BTC/USD"],
        kraken.frame,
        kraken.answer,
        past=lambda known, target: kraken.past(10**6, False, known, target),
    )
    (found,) = (each for each in ignoring.cases() if each.name == "history reads all pages")
    with pytest.raises(AssertionError, match=r"a page has 2007 results, .* no more than the request's limit"):
        found.run()


@pytest.mark.parametrize("drops", [1, 3])
def test_frames_that_a_server_did_not_send_are_waited_for_in_vain(drops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [kraken.frame(trade) for trade in trades(["BTC/USD"], 5, begin=SECOND)]
    with LiveServer(kraken.answer) as server, Stream(Kraken(url=server.url, api_key=None), ["BTC/USD"]) as stream:
        stream.wait_for_subscription()
        server.send(*frames[drops:])
        stream.wait_for(frames[drops:])
        monkeypatch.setattr(live, "TIMEOUT", 0.3)
        with pytest.raises(AssertionError, match=f"{drops} of 5 frames"):
            stream.wait_for(frames)
        # Heartbeats come between them.
        assert [each for each in stream.received if each in frames] == frames[drops:]
        assert (server.accepted, server.refused) == (1, 0)


def test_a_server_refuses_and_asks_for_a_pause() -> None:
    with LiveServer(kraken.answer) as server:
        server.refuse(2, status=503, retry_after=0.2)
        with Stream(Kraken(url=server.url, api_key=None), ["BTC/USD"]) as stream:
            assert stream.wait_for_subscription() == 3
    assert server.refused == 2
    assert sum("HTTP 503" in change.detail for change in stream.changes) == 2


def test_a_span_is_asked_for_again_as_a_repair_does() -> None:
    made = trades(["BTC/USD"], 5, begin=1_700_000_000 * SECOND)
    server = kit(Kraken).past_server
    wanted = Span("BTC/USD", "BTC/USD", made[0].time, made[-1].time + 1)
    with PastServer(lambda _: (200, b"{}"), [(429, b"{}")] * 9) as refusing:
        with pytest.raises(TicksPlatformError, match="429"):
            fetch(Kraken(url=refusing.url, api_key=None).history(), wanted)
        assert len(refusing.asked) == 4
    with server([*made], [(500, b"")] * 3) as recovering:
        assert len(fetch(Kraken(url=recovering.url, api_key=None).history(), wanted)) == 5


def test_damage_is_various_and_the_same_each_time() -> None:
    found = list(damaged(kraken.PUBLISHED))
    assert len(set(found)) > 150
    assert found == list(damaged(kraken.PUBLISHED))
    assert kraken.PUBLISHED not in found


def test_trades_are_the_same_each_time_and_have_no_gap_in_their_numbers() -> None:
    made = trades(["A", "B"], 50, begin=SECOND)
    assert made == trades(["A", "B"], 50, begin=SECOND)
    assert made != trades(["A", "B"], 50, begin=SECOND, seed=2)
    assert [trade.number for trade in made if trade.symbol == "B"] == list(range(1, 51))
    assert made == sorted(made, key=lambda trade: trade.time)
    assert len({trade.time for trade in made}) < len(made), "some at one time"
    assert Trade("A", 1, 1_500 * 10**6, 1.0, 1.0)[2:] == (1_500_000_000, 1.0, 1.0)
    late = Trade("A", 1, 1_790_000_000_123 * 10**6, 1.0, 1.0)
    assert (late.seconds, late.milliseconds) == (1_790_000_000.123, 1_790_000_000_123)


@pytest.mark.full
def test_it_needs_no_test_framework() -> None:
    """A user may have another one, and the wheel does not bring pytest along."""
    code = (
        "import sys, ticks_platform.testing; "
        "print([name for name in ('pytest', 'unittest', 'hypothesis', 'dagster') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_recorded_frames_are_stored_in_one_call(database: Database) -> None:
    made = trades(["BTC/USD"], 30, begin=1_790_000_000 * SECOND)
    frames = [kraken.frame(trade) for trade in made]
    arrivals = [trade.time + SECOND for trade in made]
    given = [*zip(frames, arrivals, strict=True), (kraken.HEARTBEAT, arrivals[-1]), (b"not json", arrivals[-1])]
    found = store_frames([*given, *given[:4]], Kraken, symbols=["xbt-usd"], database=database.url(), feed="recorded")
    assert found == StoredFrames(frames=36, loaded=30, replaced=0, duplicate=4, rejected=1, control=1)
    stored = rows(
        database, "SELECT trade_id, price, size FROM stocks_real_time WHERE feed = 'recorded' ORDER BY tick_id"
    )
    assert stored == [(str(trade.number), trade.price, trade.size) for trade in made]
    again = store_frames(given, "coinbase", symbols=["BTC-USD"], database=database, feed="other")
    assert again._replace(rejected=0, control=0) == StoredFrames(32, 0, 0, 0, 0, 0), "another provider's frames"
    assert events(Coinbase(url=None, api_key=None), [kraken.HEARTBEAT]) != []


def test_frames_of_alpaca_and_binance_are_stored(database: Database) -> None:
    """Cancels and corrections take their trades back; prices without a time have that of their arrival."""
    at, arrival = "2026-10-06T15:00:00.5", to_nanoseconds(datetime(2026, 10, 6, 15, 0, 2, tzinfo=timezone.utc))
    trade = {"T": "t", "S": "SPY", "x": "P", "s": 100, "c": [" ", "F"], "z": "B", "t": f"{at}16274112Z"}
    told = [
        *({**trade, "i": number, "p": 700.0 + number} for number in (1, 2, 3)),
        {**trade, "i": 4, "p": 704.0, "c": [" ", "M"]},
        {"T": "x", "S": "SPY", "i": 1, "x": "P", "p": 701.0, "s": 100, "a": "C", "z": "B", "t": f"{at}9Z"},
        {"T": "c", "S": "SPY", "x": "P", "oi": 2, "op": 702.0, "os": 100, "oc": [" ", "F"], "ci": 5, "cp": 702.5}
        | {"cs": 90, "cc": [" ", "I"], "z": "B", "t": f"{at}8Z"},
        {"T": "s", "S": "SPY", "sc": "2", "sm": "Trading Halt", "rc": "M", "rm": "", "z": "B", "t": f"{at}9Z"},
    ]
    given = [(json.dumps(told[:3]).encode(), arrival), (json.dumps(told[3:]).encode(), arrival)]
    options = {"feed": "sip", "channels": ["trades", "statuses"]}
    found = store_frames(given, "alpaca", symbols=["spy"], database=database, feed="stocks", options=options)
    assert (found.rejected, found.control, found.duplicate) == (0, 0, 0)
    columns = "trade_id, price, coalesce(updates, 7), conditions"
    query = f"SELECT {columns} FROM stocks_real_time WHERE feed = 'stocks' ORDER BY trade_id"
    assert rows(database, query) == [
        ("1", 701.0, 7 | CANCELLED, [14]),
        ("2", 702.0, 7 | CANCELLED, [14]),
        ("3", 703.0, 7, [14]),
        ("5", 702.5, 4, [37]),
    ]
    assert rows(database, "SELECT kind, price, is_primary FROM official_price") == [("close", 704.0, True)]
    assert rows(database, "SELECT kind FROM trading_halt") == [("halt",)]
    book = b'{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}'
    options = {"channels": ["trade", "bookTicker"]}
    store_frames([(book, arrival)], "binance", symbols=["bnb/usdt"], database=database, feed="coins", options=options)
    query = "SELECT symbol, time, bid_price, ask_size FROM stock_quotes WHERE feed = 'coins'"
    assert rows(database, query) == [("BNBUSDT", from_nanoseconds(arrival), 25.3519, 40.66)]


def test_frames_of_symbols_that_are_not_asked_for_are_rejected(database: Database) -> None:
    frames = [kraken.frame(trade) for trade in trades(["ETH/USD"], 3, begin=1_790_000_000 * SECOND)]
    given = [(frame, 1_790_000_100 * SECOND) for frame in frames]
    assert store_frames(given, Kraken, symbols=["BTC/USD"], database=database).rejected == 3
