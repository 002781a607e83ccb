"""Sessions with Polygon.io over real sockets: authentication, silence, and changes of the symbols."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ticks_platform.feeds.calendars import Calendar, calendar
from ticks_platform.feeds.coinbase.connector import Coinbase, CoinbaseConversation
from ticks_platform.feeds.connector import Connector, Reaction
from ticks_platform.feeds.errors import FeedRefusedError
from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    Frame,
    HeardAgain,
    ProviderError,
    Silent,
    Tick,
    TradingHalt,
    Unsubscribed,
)
from ticks_platform.feeds.polygon import connector as polygon_module
from ticks_platform.feeds.transport import reconnect, session, subscriptions
from ticks_platform.feeds.transport import silence as silence_module
from ticks_platform.feeds.transport.clock import steady
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import State
from ticks_platform.ingestion.run import RECEIVER_TIMEOUT
from ticks_platform_tests.support.feeds import (
    CLOSE,
    KEY,
    PING,
    PONG,
    TEXT,
    TIMEOUT,
    Peer,
    PeerServer,
    Running,
    polygon,
    polygon_at,
    wait_until,
)
from ticks_standin import StandIn, StandInSettings

PATIENCE = 1.0
GREETING = b'[{"ev":"status","status":"connected","message":"Connected Successfully"}]'
LET_IN = b'[{"ev":"status","status":"auth_success","message":"authenticated"}]'
TRADE = b'[{"ev":"T","sym":"AAPL","p":227.5,"s":100,"t":1536036818784}]'
HALT = b'[{"ev":"LULD","T":"AAPL","h":2,"l":1,"i":[%s],"t":1536036818784}]'


class Closed(Calendar):
    """A market that is never open."""

    def __init__(self) -> None:
        super().__init__("always")

    def open_since(self, at: float) -> float | None:
        return None


def detector(*symbols: str, patience: float = PATIENCE) -> SilenceDetector:
    return SilenceDetector(dict.fromkeys(symbols, calendar("always")), patience=patience)


def decoding(connector: Connector, silence: SilenceDetector) -> Callable[[Frame], None]:
    """Decode frames and record their ticks, as the loader does."""

    def decode(frame: Frame) -> None:
        until = frame.received_at / 1e9
        events = connector.decode(frame.data)
        silence.record([event.symbol for event in events if isinstance(event, Tick)], until=until)
        for event in events:
            if isinstance(event, TradingHalt):
                silence.record_halt(event.symbol, event.kind, until)
        silence.mark_decoded(until)

    return decode


def watched(connector: Connector, *symbols: str, patience: float = PATIENCE) -> Running:
    """A connection with a silence detector."""
    silence = detector(*symbols, patience=patience)
    return Running(connector, symbols=symbols, silence=silence, on_frame=decoding(connector, silence))


def said(peer: Peer) -> dict[str, str]:
    """The client's next message; pings are skipped."""
    while True:
        opcode, payload = peer.receive()
        if opcode == TEXT:
            message: dict[str, str] = json.loads(payload)
            return message


def let_in(peer: Peer) -> None:
    peer.upgrade()
    peer.send(GREETING)
    assert said(peer) == {"action": "auth", "params": KEY}
    peer.send(LET_IN)


def acknowledge(peer: Peer, message: dict[str, str]) -> None:
    verb = {"subscribe": "subscribed to: ", "unsubscribe": "unsubscribed to: "}[message["action"]]
    statuses = [
        {"ev": "status", "status": "success", "message": verb + channel} for channel in message["params"].split(",")
    ]
    peer.send(json.dumps(statuses).encode())


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_SILENCE_CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(session, "POLL_INTERVAL", 0.02)


# Authentication.


def test_from_the_key_to_the_data() -> None:
    with StandIn(StandInSettings(rate=0, record=True)) as stand_in:
        connector = polygon_at(stand_in, channels=["T", "Q"])
        with Running(connector, symbols=("AAPL", "MSFT")) as running:
            stand_in.wait_until_subscribed("T.AAPL", "Q.AAPL", "T.MSFT", "Q.MSFT")
            stand_in.send_exactly(500)
            (account,) = stand_in.account().connections
            assert len(account.events_sent("T", "Q")) == 500
            wait_until(lambda: len(running.received(1)) >= len(account.sent), "all frames")
            assert running.received(1) == account.sent
        assert running.states == [
            *(State.CONNECTING, State.AUTHENTICATING, State.SUBSCRIBING, State.STREAMING, State.CLOSED)
        ]
        named = [name for notice in running.notices if isinstance(notice, Acknowledged) for name in notice.channels]
        assert named == ["T.AAPL", "Q.AAPL", "T.MSFT", "Q.MSFT"]


@pytest.mark.parametrize("mode", ["auth_failed", "not_entitled"])
def test_a_key_that_is_refused(mode: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.1)
    options: dict[str, Any] = {"polygon_bad_key_mode": mode}
    with (
        StandIn(StandInSettings(keys=frozenset({"good"}), **options)) as stand_in,
        Running(polygon_at(stand_in)) as running,
    ):
        assert isinstance(running.wait_for_end(), FeedRefusedError)
        once = [State.CONNECTING, State.AUTHENTICATING]
        assert running.states == [*once, State.BACKING_OFF, *once, State.REFUSED]
    assert KEY not in caplog.text


def test_a_provider_that_does_not_receive_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygon_module, "AUTH_TIMEOUT_PAUSE", 0.3)
    options: dict[str, Any] = {"polygon_bad_key_mode": "auth_timeout", "polygon_auth_timeout_s": 0.2}
    with (
        StandIn(StandInSettings(keys=frozenset({"good"}), **options)) as stand_in,
        Running(polygon_at(stand_in)) as running,
    ):
        again = running.wait_for(State.CONNECTING, times=2)
        away = running.wait_for(State.BACKING_OFF)
        assert "did not receive the API key in time" in away.detail
        assert again.at - away.at >= 0.3e9


@pytest.mark.parametrize("flood", [False, True])
def test_an_authentication_without_an_answer(monkeypatch: pytest.MonkeyPatch, flood: bool) -> None:
    monkeypatch.setattr(session, "AUTHENTICATE_TIMEOUT", 0.4)

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.send(GREETING)
        while flood:
            peer.send(GREETING)
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(polygon(server.url)) as running:
        away = running.wait_for(State.BACKING_OFF)
        assert "not authenticated within 0.4 s" in away.detail
        assert 0.3e9 < away.at - running.wait_for(State.AUTHENTICATING).at < 2e9
        assert State.SUBSCRIBING not in running.states
        running.wait_for(State.CONNECTING, times=2)


class Clumsy(CoinbaseConversation):
    """Raises at what it did not expect."""

    def receive(self, frame: bytes) -> Reaction:
        return Reaction(has_data=json.loads(frame)["is"]["data"])


def test_a_connector_that_raises_stops_no_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Coinbase, "converse", lambda _self: Clumsy())

    def serve(peer: Peer) -> None:
        peer.upgrade()
        for frame in (b"[", b"{}", b'{"is":{"data":true}}'):
            peer.send(frame)
        while peer.receive()[0] != CLOSE:
            pass

    with PeerServer(serve) as server, Running(Coinbase(url=server.url, api_key=None)) as running:
        wait_until(lambda: len(running.frames) == 3 and running.connection.state is State.STREAMING, "all frames")
    told = [change.notice for change in running.changes if isinstance(change.notice, ProviderError)]
    assert [notice.message.partition(":")[0] for notice in told] == ["the connector raised JSONDecodeError"]
    assert running.failure is None


def test_no_subscription_before_the_authentication() -> None:
    heard: list[dict[str, str]] = []
    go_on = threading.Event()

    def serve(peer: Peer) -> None:
        peer.upgrade()
        heard.append(said(peer))
        peer.send(GREETING)
        # Data before the authentication is not documented, but counts as data.
        peer.send(TRADE)
        assert go_on.wait(TIMEOUT)
        heard.append({"action": "authenticated"})
        peer.send(LET_IN)
        heard.append(said(peer))
        peer.send(TRADE)
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(polygon(server.url), symbols=["AAPL"]) as running:
        running.wait_for(State.STREAMING)
        go_on.set()
        running.wait_for(State.STREAMING, times=2)
        assert [message["action"] for message in heard] == ["auth", "authenticated", "subscribe"]
        assert State.BACKING_OFF not in running.states


@pytest.mark.parametrize("ending", ["1008", "abort"])
def test_too_many_connections_wait(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setattr(polygon_module, "MAX_CONNECTIONS_PAUSE", 0.7)

    def serve(peer: Peer) -> None:
        let_in(peer)
        acknowledge(peer, said(peer))
        peer.send(TRADE)
        peer.send(b'[{"ev":"status","status":"max_connections","message":"Maximum number of connections exceeded. "}]')
        if ending == "1008":
            peer.send((1008).to_bytes(2, "big"), CLOSE)

    with PeerServer(serve) as server, Running(polygon(server.url), symbols=["AAPL"]) as running:
        for attempt in (1, 2):
            away = running.wait_for(State.BACKING_OFF, times=attempt)
            assert "connection limit for this account is reached" in away.detail
            again = running.wait_for(State.CONNECTING, times=attempt + 1)
            assert again.at - away.at >= 0.7e9
        # The data before the status is kept.
        assert TRADE in running.received(1)
        assert running.failure is None


def test_the_pause_after_max_connections_can_be_stopped() -> None:
    def serve(peer: Peer) -> None:
        let_in(peer)
        peer.send(b'[{"ev":"status","status":"max_connections"}]')

    with PeerServer(serve) as server, Running(polygon(server.url)) as running:
        assert "retrying in 60." in running.wait_for(State.BACKING_OFF).detail
        assert running.stop() < RECEIVER_TIMEOUT


def test_channels_that_are_not_in_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "ACKNOWLEDGE_TIMEOUT", 0.3)
    options: dict[str, Any] = {"polygon_unauthorized_channels": frozenset({"Q"})}
    with StandIn(StandInSettings(rate=200, **options)) as stand_in:
        with Running(polygon_at(stand_in, channels=["T", "Q"]), symbols=["AAPL", "MSFT"]) as running:
            failed = running.wait_for_notice(ChannelsFailed)
            assert failed.reasons.keys() == {"Q.AAPL", "Q.MSFT"}
            assert all("plan" in reason for reason in failed.reasons.values())
            running.wait_for(State.STREAMING)
            seen = len(running.frames)
            wait_until(lambda: len(running.frames) > seen + 100, "trades continue")
        assert State.BACKING_OFF not in running.states
        assert sum(isinstance(notice, ChannelsFailed) for notice in running.notices) == 1


# Silence.


def test_stalled_and_resubscribed() -> None:
    heard: list[tuple[str, str]] = []

    def serve(peer: Peer) -> None:
        let_in(peer)
        for _ in range(3):
            message = said(peer)
            heard.append((message["action"], message["params"]))
            acknowledge(peer, message)
            if message["action"] == "subscribe":
                peer.send(TRADE)
        peer.receive_until_end()

    with PeerServer(serve) as server, watched(polygon(server.url), "AAPL") as running:
        running.wait_for(State.STREAMING, times=2)
        stalled = running.wait_for(State.STALLED)
        assert stalled.at - running.wait_for(State.STREAMING).at >= PATIENCE * 1e9 * 0.95
        assert heard == [("subscribe", "T.AAPL"), ("unsubscribe", "T.AAPL"), ("subscribe", "T.AAPL")]
        assert running.states[:6] == [
            *(State.CONNECTING, State.AUTHENTICATING, State.SUBSCRIBING),
            *(State.STREAMING, State.STALLED, State.STREAMING),
        ]


def test_a_feed_that_goes_mute() -> None:
    with StandIn(StandInSettings(rate=300)) as stand_in, watched(polygon_at(stand_in), "AAPL", "MSFT") as running:
        running.wait_for(State.STREAMING)
        stand_in.go_mute()
        stalled = running.wait_for(State.STALLED)
        away = running.wait_for(State.BACKING_OFF)
        silence = (away.at - running.last_arrival(1)) / 1e9
        assert "also after resubscribing" in away.detail
        # Both are due by the last data, so that one that a busy machine notices late does not delay the other.
        assert (stalled.at - stalled.covered_until) / 1e9 > 0.9 * PATIENCE
        assert (away.at - stalled.covered_until) / 1e9 > 1.4 * PATIENCE
        # Acknowledgements of the new subscription are not data and do not delay it.
        assert silence < 1.5 * PATIENCE + 2.0
        before = running.states.count(State.STREAMING)
        stand_in.unmute()
        running.wait_for(State.STREAMING, times=before + 1)


def test_a_closed_market_is_not_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.05)
    heard = []

    def serve(peer: Peer) -> None:
        let_in(peer)
        acknowledge(peer, said(peer))
        while True:
            heard.append(peer.receive())
            peer.send(heard[-1][1], PONG)

    # The market of a symbol on another connection of the feed is open.
    silence = SilenceDetector({"AAPL": Closed(), "BTC-USD": calendar("always")}, patience=0.2)
    with PeerServer(serve) as server:
        with Running(polygon(server.url), symbols=["AAPL"], silence=silence) as running:
            wait_until(lambda: len(heard) > 15, "pings")
            assert all(opcode == PING for opcode, _ in heard)
            assert running.states == [State.CONNECTING, State.AUTHENTICATING, State.SUBSCRIBING]
        with Running(polygon(server.url), symbols=["BTC-USD"], silence=silence) as running:
            running.wait_for(State.STALLED)


def test_a_halted_symbol_is_not_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the only one of the connection. From its resumption on, silence counts again."""
    monkeypatch.setattr(session, "PING_INTERVAL", 0.05)
    heard: list[Any] = []
    resume = threading.Event()

    def serve(peer: Peer) -> None:
        let_in(peer)
        acknowledge(peer, said(peer))
        peer.send(TRADE)
        peer.send(HALT % b"17")
        while True:
            heard.append(peer.receive())
            peer.send(heard[-1][1], PONG)
            if resume.is_set():
                resume.clear()
                peer.send(HALT % b"18")

    with PeerServer(serve) as server, watched(polygon(server.url), "AAPL", patience=0.2) as running:
        running.wait_for(State.STREAMING)
        wait_until(lambda: len(heard) > 15, "pings")
        assert State.STALLED not in running.states
        resume.set()
        running.wait_for(State.STALLED)


def test_no_desired_symbols_is_not_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.05)
    heard = []

    def serve(peer: Peer) -> None:
        let_in(peer)
        while True:
            heard.append(peer.receive())
            peer.send(heard[-1][1], PONG)

    silence = detector("AAPL", patience=0.2)
    with PeerServer(serve) as server, Running(polygon(server.url), symbols=[], silence=silence) as running:
        wait_until(lambda: len(heard) > 15, "pings")
        assert all(opcode == PING for opcode, _ in heard)
        assert running.states == [State.CONNECTING, State.AUTHENTICATING, State.SUBSCRIBING]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    # One tick makes a symbol busy.
    monkeypatch.setattr(silence_module, "EXPECTED_TICKS", 1e-6)
    monkeypatch.setattr(silence_module, "COUNTING_INTERVAL", 0.02)


@pytest.mark.usefixtures("_impatient")
def test_one_symbol_of_two_falls_silent() -> None:
    with StandIn(StandInSettings(rate=300)) as stand_in, watched(polygon_at(stand_in), "AAPL", "MSFT") as running:
        running.wait_for(State.STREAMING)
        stand_in.wait_until_subscribed("T.AAPL", "T.MSFT")
        began = steady()
        wait_until(lambda: len(running.frames) > 50, "both")
        stand_in.silence("T.MSFT")
        silent = running.wait_for_notice(Silent)
        assert silent.seconds.keys() == silent.heard_after.keys() == {"T.MSFT"}
        assert began - 1 < silent.heard_after["T.MSFT"] < steady() - silent.seconds["T.MSFT"]
        stalled = running.wait_for(State.STALLED)
        assert "MSFT" in stalled.detail
        assert "AAPL" not in stalled.detail
        running.wait_for(State.CONNECTING, times=2)
        wait_until(lambda: running.connection.unhealthy == {"MSFT"}, "unhealthy")
        unsilenced = steady()
        stand_in.unsilence()
        heard = running.wait_for_notice(HeardAgain)
        assert heard.channels == ("T.MSFT",)
        assert unsilenced <= heard.heard_by["T.MSFT"] <= steady()
        wait_until(lambda: running.connection.unhealthy == frozenset(), "healthy")
        assert running.states.count(State.CONNECTING) == 2


@pytest.mark.usefixtures("_impatient")
def test_frames_that_wait_to_be_decoded_are_no_silence() -> None:
    silence = detector("AAPL", "MSFT", patience=1.0)
    with StandIn(StandInSettings(rate=500)) as stand_in:
        connector = polygon_at(stand_in)
        decode = decoding(connector, silence)

        def once(frame: Frame) -> None:
            # Only the first hundred frames are decoded, as if the database were down.
            if len(running.frames) < 100:
                decode(frame)

        running = Running(connector, symbols=("AAPL", "MSFT"), silence=silence, on_frame=once)
        with running:
            wait_until(lambda: len(running.frames) > 100, "decoded")
            decoded_at = time.time()
            wait_until(lambda: running.last_arrival(1) / 1e9 > decoded_at + 2.5, "frames that are not decoded")
            assert State.STALLED not in running.states
            assert not any(isinstance(notice, Silent) for notice in running.notices)


# Changes of the symbols.


def test_symbols_change_on_an_open_connection() -> None:
    with (
        StandIn(StandInSettings(rate=500)) as stand_in,
        Running(polygon_at(stand_in), symbols=["AAPL", "MSFT"]) as running,
    ):
        running.wait_for(State.STREAMING)
        running.connection.set_symbols(["MSFT", "NVDA"])
        stand_in.wait_until_subscribed("T.NVDA")
        wait_until(
            lambda: any(isinstance(each, Acknowledged) and each.channels == ("T.NVDA",) for each in running.notices),
            "acknowledged",
        )
        (account,) = stand_in.account().connections
        assert sorted(account.subscribed) == ["T.MSFT", "T.NVDA"]
        assert Unsubscribed(("T.AAPL",)) in running.notices
        seen = len(running.frames)
        wait_until(lambda: len(running.frames) > seen + 200, "data")
        late = b"".join(frame.data for frame in running.frames[seen + 100 :])
        assert b'"NVDA"' in late
        assert b'"AAPL"' not in late
        assert running.states.count(State.CONNECTING) == 1


def test_symbols_change_before_the_authentication() -> None:
    go_on = threading.Event()
    heard = []

    def serve(peer: Peer) -> None:
        peer.upgrade()
        said(peer)
        assert go_on.wait(TIMEOUT)
        peer.send(LET_IN)
        heard.append(said(peer))
        acknowledge(peer, heard[-1])
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(polygon(server.url), symbols=["AAPL", "MSFT"]) as running:
        running.wait_for(State.AUTHENTICATING)
        running.connection.set_symbols(["NVDA"])
        go_on.set()
        running.wait_for_notice(Acknowledged)
        assert heard == [{"action": "subscribe", "params": "T.NVDA"}]


def test_a_symbol_that_is_added_late_is_not_silent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence_module, "MAX_PATIENCE", 1.0)
    with StandIn(StandInSettings(rate=300)) as stand_in:
        connector, silence = polygon_at(stand_in), detector("AAPL", "NVDA", patience=0.5)
        running = Running(connector, symbols=["AAPL"], silence=silence, on_frame=decoding(connector, silence))
        with running:
            begin = running.wait_for(State.STREAMING).at
            wait_until(lambda: running.last_arrival(1) > begin + 1.5e9, "a while")
            stand_in.silence("T.NVDA")
            running.connection.set_symbols(["AAPL", "NVDA"])
            stand_in.wait_until_subscribed("T.NVDA")
            added = time.time()
            assert running.wait_for_notice(Silent).seconds.keys() == {"T.NVDA"}
            (detected,) = [change.at for change in running.changes if isinstance(change.notice, Silent)]
            assert detected / 1e9 - added > 0.7
