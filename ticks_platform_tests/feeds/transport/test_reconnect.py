"""All frames arrive in order over real sockets, across connections that end in every way."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import ssl
import subprocess
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ticks_platform.feeds.errors import FeedRefusedError
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, Frame, ProviderError, Refused, Tick
from ticks_platform.feeds.transport import reconnect, session, subscriptions
from ticks_platform.feeds.transport.state import State
from ticks_platform.ingestion.run import RECEIVER_TIMEOUT
from ticks_platform_tests.support.feeds import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    TIMEOUT,
    Peer,
    PeerServer,
    RecordedBackoff,
    Running,
    encode,
    price,
    twelve_data,
    wait_until,
)
from ticks_platform_tests.support.timing import within
from ticks_standin import ConnectionAccount, RawFrame, StandIn, StandInSettings

SYMBOLS = ("AAPL", "BTC/USD")


def address(stand_in: StandIn) -> str:
    """URL of the stand-in, for a client that sends its key in a header."""
    return stand_in.url("twelve_data", key=None)


def accounts(stand_in: StandIn, ended: int) -> list[ConnectionAccount]:
    """The accounts of all connections, once this many have ended."""
    wait_until(
        lambda: sum(account.ending is not None for account in stand_in.account().connections) >= ended,
        f"{ended} connections ended",
    )
    return stand_in.account().connections


def stream(stand_in: StandIn, running: Running, ticks: int) -> None:
    """Send this many ticks and wait for them."""
    before = len(running.frames)
    stand_in.wait_until_subscribed(*SYMBOLS)
    stand_in.send_exactly(ticks)
    wait_until(lambda: len(running.frames) >= before + ticks, f"{ticks} frames {running.history()}")


def received_many(running: Running, connection: int) -> bool:
    return len(running.received(connection)) > 200


def test_what_was_sent_is_what_was_received(stand_in: StandIn) -> None:
    connector = twelve_data(address(stand_in))
    begin = time.time_ns()
    with Running(connector) as running:
        stream(stand_in, running, 5_000)
    (account,) = accounts(stand_in, ended=1)
    assert account.ending == "closed"
    assert account.price_events == 5_000
    assert running.received(1) == account.sent
    arrivals = [frame.received_at for frame in running.frames]
    assert begin < arrivals[0]
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] < time.time_ns()
    # All callbacks are called in the thread that called `run`.
    assert running.threads == {"receive"}

    ticks = [event for frame in running.frames for event in connector.decode(frame.data) if isinstance(event, Tick)]
    assert [(tick.symbol, tick.time, tick.price, tick.day_volume, tick.bid, tick.ask) for tick in ticks] == [
        (
            event["symbol"],
            event["timestamp"] * 10**9,
            event["price"],
            event.get("day_volume"),
            event.get("bid"),
            event.get("ask"),
        )
        for event in account.price_events_sent()
    ]


def test_a_stop_while_data_flows_loses_nothing() -> None:
    with StandIn(StandInSettings(rate=8_000, record=True)) as stand_in:
        with Running(twelve_data(address(stand_in))) as running:
            wait_until(lambda: len(running.frames) > 1_000, "1,000 frames")
            assert running.stop() < RECEIVER_TIMEOUT
        (account,) = accounts(stand_in, ended=1)
        assert account.ending == "closed"
        assert running.received(1) == account.sent
        assert running.states[-1] is State.CLOSED


def test_a_slow_closing_handshake_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # Frames that are on their way at our close frame may take longer than one poll.
    monkeypatch.setattr(session, "POLL_INTERVAL", 0.02)

    def serve(peer: Peer) -> None:
        peer.upgrade()
        while peer.receive()[0] != CLOSE:
            pass
        for number in range(3):
            time.sleep(0.1)
            peer.send(price(price=number))
        peer.send((1000).to_bytes(2, "big"), CLOSE)

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        running.wait_for(State.SUBSCRIBING)
        assert running.stop() < RECEIVER_TIMEOUT
        assert running.received(1) == [price(price=number) for number in range(3)]


def test_states_in_order(stand_in: StandIn) -> None:
    with Running(twelve_data(address(stand_in))) as running:
        stream(stand_in, running, 10)
        stand_in.drop_connections()
        running.wait_for(State.SUBSCRIBING, times=2)
        stream(stand_in, running, 10)
    cycle = [State.CONNECTING, State.SUBSCRIBING, State.STREAMING]
    assert running.states == [*cycle, State.BACKING_OFF, *cycle, State.CLOSED]
    assert [change.at for change in running.changes] == sorted(change.at for change in running.changes)
    assert [change.connection for change in running.changes if change.state is State.CONNECTING] == [1, 2]
    assert running.notices == [Acknowledged(SYMBOLS), Acknowledged(SYMBOLS)]
    for change in running.changes:
        assert change.detail
        assert KEY not in change.detail


def test_two_drops_in_a_row(stand_in: StandIn) -> None:
    with Running(twelve_data(address(stand_in))) as running:
        stream(stand_in, running, 100)
        stand_in.drop_connections()
        running.wait_for(State.SUBSCRIBING, times=2)
        stand_in.wait_until_subscribed(*SYMBOLS)
        stand_in.drop_connections()
        running.wait_for(State.SUBSCRIBING, times=3)
        stream(stand_in, running, 100)
    first, second, third = accounts(stand_in, ended=3)
    assert [first.ending, second.ending, third.ending] == ["aborted", "aborted", "closed"]
    assert running.received(1) == first.sent
    assert running.received(2) == second.sent[: len(running.received(2))]
    assert running.received(3) == third.sent
    assert third.price_events == 100


def test_a_drop_while_data_flows() -> None:
    with StandIn(StandInSettings(rate=4_000, record=True)) as stand_in:
        with Running(twelve_data(address(stand_in))) as running:
            for number in range(1, 5):
                wait_until(partial(received_many, running, number), f"frames by connection {number}")
                if number < 4:
                    stand_in.drop_connections()
        for account in accounts(stand_in, ended=4):
            received = running.received(account.number)
            # An abort loses the frames that were on their way; the others are complete and in order.
            assert received == account.sent[: len(received)]
        assert received == account.sent


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011])
def test_a_close_of_the_provider(stand_in: StandIn, code: int) -> None:
    with Running(twelve_data(address(stand_in))) as running:
        stream(stand_in, running, 50)
        stand_in.close_connections(code, "because")
        lost = running.wait_for(State.BACKING_OFF)
        assert f"code {code}, because" in lost.detail
        running.wait_for(State.SUBSCRIBING, times=2)
        stream(stand_in, running, 50)
    for account in accounts(stand_in, ended=2):
        assert account.ending == "closed"
        assert account.price_events == 50
        assert running.received(account.number) == account.sent


def test_a_provider_that_is_down_for_a_while(stand_in: StandIn) -> None:
    backoff = RecordedBackoff(base=0.02, cap=0.1)
    with Running(twelve_data(address(stand_in)), backoff=backoff) as running:
        stream(stand_in, running, 10)
        stand_in.pause_accepting()
        stand_in.drop_connections()
        running.wait_for(State.BACKING_OFF, times=6)
        stand_in.resume_accepting()
        running.wait_for(State.SUBSCRIBING, times=2)
        stream(stand_in, running, 10)
    waits = [change for change in running.changes if change.notice is None]
    paused = 0
    for before, after in itertools.pairwise(waits):
        if before.state is State.BACKING_OFF:
            assert after.state is State.CONNECTING
            # One attempt after each wait, and not before its end.
            assert (after.at - before.at) / 1e9 >= backoff.delays[paused] - 0.002
            paused += 1
    assert paused == len(backoff.delays) == backoff.failures >= 6
    assert "cannot connect" in running.wait_for(State.BACKING_OFF, times=2).detail


def test_waits_grow_while_no_data_flows() -> None:
    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send((1008).to_bytes(2, "big"), CLOSE)

    backoff = RecordedBackoff(base=0.001, cap=0.02)
    with PeerServer(serve) as server, Running(twelve_data(server.url), backoff=backoff) as running:
        running.wait_for(State.BACKING_OFF, times=8)
        running.stop()
        assert State.STREAMING not in running.states
        assert backoff.failures == running.states.count(State.BACKING_OFF) >= 8


@pytest.mark.parametrize(("proven_after", "grows"), [(10.0, True), (0.0, False)])
def test_the_backoff_is_reset_only_after_a_stable_connection(
    monkeypatch: pytest.MonkeyPatch, proven_after: float, grows: bool
) -> None:
    # A key at its connection limit: each new connection is served for a moment, then another client takes it over.
    monkeypatch.setattr(reconnect, "STABLE_AFTER", proven_after)

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send(price())

    backoff = RecordedBackoff(base=0.001, cap=0.02)
    with PeerServer(serve) as server, Running(twelve_data(server.url), backoff=backoff) as running:
        running.wait_for(State.BACKING_OFF, times=6)
        running.stop()
        assert running.states.count(State.STREAMING) >= 6
        assert backoff.failures == (running.states.count(State.BACKING_OFF) if grows else 1)


@pytest.fixture
def _refusals_count_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.2)


@pytest.mark.usefixtures("_refusals_count_soon")
@pytest.mark.parametrize("mode", ["401", "200+body", "403", "400"])
def test_a_wrong_key_is_tried_twice(caplog: pytest.LogCaptureFixture, mode: str) -> None:
    caplog.set_level("DEBUG", "ticks_platform.feeds")
    caplog.set_level("DEBUG", "websocket")
    settings = StandInSettings.model_validate({"keys": {"another"}, "bad_key_mode": mode})
    with StandIn(settings) as stand_in, Running(twelve_data(address(stand_in))) as running:
        failure = running.wait_for_end()
        assert isinstance(failure, FeedRefusedError)
        assert "Twelve Data" in str(failure)
        assert running.states == [State.CONNECTING, State.BACKING_OFF, State.CONNECTING, State.REFUSED]
        first, second = running.wait_for(State.BACKING_OFF), running.wait_for(State.REFUSED)
        assert second.at - first.at >= 0.2e9
        assert running.notices == [Refused(str(failure))]
        assert running.changes[-1].detail == str(failure)
        assert KEY not in "".join(traceback.format_exception(failure)) + caplog.text + running.history()
        assert "Twelve Data refused" in caplog.text


def test_a_refusal_is_asked_again_after_half_a_minute() -> None:
    # How long a feed with a wrong key takes to end, as it ships.
    with StandIn(StandInSettings(keys=frozenset({"another"}))) as stand_in:
        with Running(twelve_data(address(stand_in))) as running:
            assert "retrying in 30.0 s" in running.wait_for(State.BACKING_OFF).detail
            assert running.stop() < RECEIVER_TIMEOUT
        assert running.failure is None


@pytest.mark.usefixtures("_refusals_count_soon")
def test_no_key_at_all() -> None:
    with StandIn() as stand_in, Running(twelve_data(address(stand_in), key="")) as running:
        assert isinstance(running.wait_for_end(), FeedRefusedError)


@pytest.mark.usefixtures("_refusals_count_soon")
def test_a_refusal_in_the_conversation() -> None:
    complaint = b'{"status":"error","code":401,"message":"**apikey** parameter is incorrect or not specified."}'

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send(complaint)
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        assert isinstance(running.wait_for_end(), FeedRefusedError)
        once = [State.CONNECTING, State.SUBSCRIBING]
        assert running.states == [*once, State.BACKING_OFF, *once, State.REFUSED]
        assert running.received(1) == running.received(2) == [complaint]
        assert server.accepted == 2


@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests", "404 Not Found", "200 OK"])
def test_a_handshake_that_fails_for_now(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "REJECTED_PAUSE", 0.1)

    def serve(peer: Peer) -> None:
        if server.accepted == 1:
            peer.answer(status, b'{"code":429,"message":"Your API key has run out of API credits"}')
            return
        peer.upgrade()
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        assert f"HTTP {status[:3]}" in running.wait_for(State.BACKING_OFF).detail
        running.wait_for(State.SUBSCRIBING)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\xff\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAA\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_handshake(answer: bytes) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(answer)

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        running.wait_for(State.CONNECTING, times=3)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/", "ws://no-such-host.invalid/", "ws://a..b/", "ws:///"])
def test_a_host_that_cannot_be_reached(url: str) -> None:
    with Running(twelve_data(url)) as running:
        assert "cannot connect" in running.wait_for(State.BACKING_OFF, times=2).detail


def test_the_key_does_not_follow_a_redirect() -> None:
    with (
        PeerServer(Peer.upgrade) as elsewhere,
        PeerServer(lambda peer: peer.answer("302 Found", b"", f"Location: {elsewhere.url}")) as server,
        Running(twelve_data(server.url)) as running,
    ):
        running.wait_for(State.BACKING_OFF, times=3)
        running.stop()
        assert elsewhere.accepted == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_an_untrusted_certificate(tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    heard = []

    def serve(peer: Peer) -> None:
        heard.append(context.wrap_socket(peer.socket, server_side=True).recv(4096))

    with PeerServer(serve) as server:
        with Running(twelve_data(server.url.replace("ws://", "wss://"))) as running:
            assert "certificate" in running.wait_for(State.BACKING_OFF, times=2).detail
        assert not any(heard)


def test_symbols_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    with StandIn(StandInSettings(rate=0)) as stand_in:
        symbols = ["AAPL", "NOPE", "1211", "NSEI", "RY:TSX"]
        with Running(twelve_data(address(stand_in)), symbols=symbols) as running:
            failed = running.wait_for_notice(ChannelsFailed)
            assert failed.reasons.keys() == {"NOPE", "1211"}
            assert failed.reasons["1211"] == "You are not authorized to access XHKG data."
            assert failed.reasons["NOPE"]
            assert running.wait_for_notice(Acknowledged).channels == ("AAPL", "NSEI", "RY:TSX")
            stand_in.send_exactly(10)
            running.wait_for(State.STREAMING)
        assert State.BACKING_OFF not in running.states
        assert "not subscribed to NOPE" in caplog.text
        assert len([change for change in running.changes if isinstance(change.notice, ChannelsFailed)]) == 1


def test_symbols_that_are_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "ACKNOWLEDGE_TIMEOUT", 0.2)

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send(b'{"event":"subscribe-status","status":"ok","success":[{"symbol":"RY"}]}')
        peer.receive_until_end()

    symbols = ["RY:TSX", "MSFT", "NVDA"]

    def seconds() -> float:
        with PeerServer(serve) as server, Running(twelve_data(server.url), symbols=symbols) as running:
            failed = running.wait_for_notice(ChannelsFailed)
            assert failed.reasons == dict.fromkeys(("MSFT", "NVDA"), "not acknowledged within 0.2 s, requested 3 times")
            begin = next(change.at for change in running.changes if change.state is State.SUBSCRIBING)
            return (running.changes[-1].at - begin) / 1e9

    within(1.5, seconds)


def test_symbols_that_are_not_acknowledged_while_data_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    # No read times out then, but timers must be checked all the same.
    monkeypatch.setattr(subscriptions, "ACKNOWLEDGE_TIMEOUT", 0.2)

    def serve(peer: Peer) -> None:
        peer.upgrade()
        while True:
            peer.send(price())
            time.sleep(0.001)

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        assert running.wait_for_notice(ChannelsFailed).reasons.keys() == set(SYMBOLS)
        wait_until(lambda: len(running.frames) > 500, "more frames")
        running.stop()
        assert len(running.notices) == 1


def test_thousands_of_symbols_in_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    symbols = [f"S{number}" for number in range(5_000)]
    with StandIn(StandInSettings(rate=0, accept_any_symbol=True)) as stand_in:
        with Running(twelve_data(address(stand_in)), symbols=symbols) as running:
            assert list(running.wait_for_notice(Acknowledged).channels) == symbols
        assert "and 4980 more" in caplog.text
        assert max(len(record.getMessage()) for record in caplog.records) < 1_000


def test_a_long_subscription_on_a_slow_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "POLL_INTERVAL", 0.02)
    symbols = [f"SYMBOL{number:0100}" for number in range(85_000)]
    sizes = []

    def serve(peer: Peer) -> None:
        peer.upgrade()
        time.sleep(0.3)
        sizes.append(len(peer._read(9_000_000)))
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(twelve_data(server.url), symbols=symbols) as running:
        running.wait_for(State.SUBSCRIBING)
        running.stop()
        assert running.states.count(State.CONNECTING) == 1
    assert sizes == [9_000_000]


def test_a_callback_that_blocks_stops_the_reading() -> None:
    frame = encode(price(filler="x" * 65_536))
    total = 500
    stuck, go_on = threading.Event(), threading.Event()

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.socket.settimeout(0.3)
        for number in range(total):
            left = memoryview(encode(str(number).encode()) + frame)
            while left:
                try:
                    left = left[peer.socket.send(left) :]
                except TimeoutError:
                    stuck.set()
        peer.socket.settimeout(None)
        peer.receive_until_end()

    def block(_: Frame) -> None:
        if len(running.frames) == 10:
            assert go_on.wait(30.0)

    with PeerServer(serve) as server, Running(twelve_data(server.url), on_frame=block) as running:
        assert stuck.wait(60)  # all buffers of the system are full
        assert len(running.frames) == 10
        go_on.set()
        wait_until(lambda: len(running.frames) == 2 * total, "all frames")
        assert [frame.data for frame in running.frames[::2]] == [str(number).encode() for number in range(total)]
        assert running.states == [State.CONNECTING, State.SUBSCRIBING, State.STREAMING]


def test_what_had_arrived_before_a_reset_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # The server drops a slow consumer; its next heartbeat fails while frames still wait to be read.
    monkeypatch.setattr("ticks_platform.feeds.twelve_data.connector.TwelveDataConversation.heartbeat_interval", 0.001)
    sent = [price(price=number) for number in range(1_000)]
    gone, handled = threading.Event(), threading.Event()

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.socket.sendall(b"".join(map(encode, sent)))
        handled.wait(60)
        peer.reset()
        gone.set()

    def block(_: Frame) -> None:
        handled.set()
        assert gone.wait(60)

    with PeerServer(serve) as server, Running(twelve_data(server.url), on_frame=block) as running:
        running.wait_for(State.BACKING_OFF)
        assert running.received(1) == sent


def test_an_error_of_a_callback_is_not_a_lost_connection() -> None:
    def fail(_: Frame) -> None:
        raise OSError(28, "No space left on device")

    with StandIn() as stand_in, Running(twelve_data(address(stand_in)), on_frame=fail) as running:
        failure = running.wait_for_end()
        assert isinstance(failure, OSError)
        assert failure.errno == 28
        assert State.BACKING_OFF not in running.states


def test_bad_frames_pass_unchanged(stand_in: StandIn) -> None:
    frames = (
        price().decode(),
        price(symbol="NVDA"),
        b"",
        "",
        b"\0\xff\xfe",
        RawFrame(b"\xff not UTF-8", text=True),
        "[" * 100_000,
        '{"event":"price","x":' + "[" * 100_000,
        "null",
        price(filler="x" * 900_000).decode(),
        price(filler="y" * 999_800),
    )
    with Running(twelve_data(address(stand_in))) as running:
        running.wait_for_notice(Acknowledged)
        assert stand_in.inject(*frames) == 1
        stand_in.send_exactly(5)
        wait_until(lambda: len(running.frames) == len(frames) + 6, "all frames")
    (account,) = accounts(stand_in, ended=1)
    assert running.received(1) == account.sent
    assert State.BACKING_OFF not in running.states


def test_binary_frames_are_data() -> None:
    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send(price(), BINARY)
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        running.wait_for(State.STREAMING)
        assert running.received(1) == [price()]


def test_fragments_with_a_ping_between_them() -> None:
    payload = price(filler="x" * 100_000)
    heard = []

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send(payload[:10], TEXT, final=False)
        peer.send(b"between", PING)
        peer.send(b"", CONTINUATION, final=False)
        peer.send(payload[10:70_000], CONTINUATION, final=False)
        peer.send(payload[70_000:], CONTINUATION)
        peer.send(price())
        heard.append(peer.receive())
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        wait_until(lambda: len(running.frames) == 2 and heard, "two messages and a pong")
        assert running.received(1) == [payload, price()]
        assert heard == [(PONG, b"between")]


@pytest.mark.parametrize("seed", range(6))
def test_messages_parts_and_control_frames_cut_anywhere(seed: int) -> None:
    """Any split of the stream into reads works: messages that are buffered whole take another path."""
    seeded = random.Random(seed)
    expected, stream = [], b""
    for number in range(400):
        payload = price(price=float(number), filler="x" * seeded.choice([0, 0, 60, 70, 200, 70_000]))
        expected.append(payload)
        opcode = seeded.choice([TEXT, BINARY])
        if seeded.random() < 0.2:
            cut = seeded.randrange(len(payload))
            stream += encode(payload[:cut], opcode, final=False)
            if seeded.random() < 0.5:
                stream += encode(b"ping", PING)
            stream += encode(payload[cut:], CONTINUATION)
        else:
            stream += encode(payload, opcode)
        if seeded.random() < 0.1:
            stream += encode(b"pong", PONG)

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        at = 0
        while at < len(stream):
            size = seeded.choice([1, 2, 3, 7, 150, 3_000, 100_000])
            peer.socket.sendall(stream[at : at + size])
            at += size
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        wait_until(lambda: len(running.frames) >= len(expected), "all messages")
        assert running.received(1) == expected


@pytest.mark.parametrize("filler", [0, 100, 300])
def test_a_frame_that_comes_byte_by_byte(monkeypatch: pytest.MonkeyPatch, filler: int) -> None:
    # Reads time out in the header, in the length and in the payload.
    monkeypatch.setattr(session, "POLL_INTERVAL", 0.002)
    payload = b'{"event":"price"}'
    payload += b" " * filler
    wire = encode(payload) + encode(b"next")

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        slow = 12
        for place in (*range(slow), len(wire) - 3, len(wire) - 2, len(wire) - 1):
            end = place + 1 if place != slow - 1 else len(wire) - 3
            peer.socket.sendall(wire[place:end])
            time.sleep(0.01)
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        wait_until(lambda: len(running.frames) == 2, "both frames")
        assert running.received(1) == [payload, b"next"]
        assert State.BACKING_OFF not in running.states


@pytest.mark.parametrize(
    "wire",
    [
        b"\xc1\x01x",  # compressed without negotiation
        b"\x83\x01x",  # no such opcode
        b"\x80\x01x",  # a continuation without a start
        b"\x88\x01x",  # half a close code
        b"\x88\x02\x00\x01",  # no such close code
        b"\x81",  # cut off
        b"\x88\x00",  # a close frame without a code
    ],
    ids=repr,
)
def test_violations_of_the_protocol(wire: bytes) -> None:
    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.socket.sendall(encode(price()) + wire)

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        running.wait_for(State.STREAMING, times=2)
        running.stop()
        assert running.received(1) == [price()]


def test_a_provider_error_changes_no_state(stand_in: StandIn) -> None:
    with Running(twelve_data(address(stand_in))) as running:
        stream(stand_in, running, 5)
        stand_in.inject('{"status":"error","code":429,"message":"slow down"}')
        assert running.wait_for_notice(ProviderError).message == "slow down"
        stream(stand_in, running, 5)
    assert running.states == [State.CONNECTING, State.SUBSCRIBING, State.STREAMING, State.CLOSED]


@pytest.mark.parametrize(
    "leave",
    [
        lambda peer: peer.send((1000).to_bytes(2, "big"), CLOSE),
        lambda peer: peer.send(b"x", 0x3),
        lambda peer: peer.send(b'{"status":"error","code":401}'),
    ],
    ids=["closed", "violated", "refused"],
)
def test_sockets_are_freed(leave: Callable[[Peer], None]) -> None:
    freed = threading.Event()

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        leave(peer)
        peer.socket.settimeout(TIMEOUT)
        with contextlib.suppress(ConnectionError):
            peer.receive_until_end()
        freed.set()

    backoff = RecordedBackoff(base=60.0, cap=60.0)
    with PeerServer(serve) as server, Running(twelve_data(server.url), backoff=backoff):
        assert freed.wait(TIMEOUT), "the socket stays open while the client waits"
