"""Streams that are wrong on command, and the account that still tells what was sent."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

import pytest

from ticks_standin import MalformedKind, StandIn, StandInProcess, StandInSettings, StreamFaults

Connect = Callable[..., Any]


def on_command(**settings: Any) -> StandIn:
    return StandIn(StandInSettings(**{"rate": 0, "record": True, **settings}))


class Bench:
    """One subscriber of each provider, and all that they heard at the end."""

    def __init__(self, stand_in: StandIn, connect: Connect, connect_polygon: Connect) -> None:
        self.stand_in = stand_in
        self.prices = connect(stand_in.url())
        self.prices.act("subscribe", "AAPL,MSFT")
        self.trades = connect_polygon(stand_in.url("polygon")).enter("T.AAPL", "T.MSFT")

    def all_frames(self) -> tuple[list[bytes], list[bytes]]:
        """What each of them heard, compared with the account."""
        heard = []
        for client, account in zip((self.prices, self.trades), self.stand_in.account().connections, strict=True):
            while len(client.heard) < account.frames:
                client.heard.append(client.socket.recv_data()[1])
            assert client.heard == account.sent
            heard.append(client.heard)
        return heard[0], heard[1]


@pytest.fixture
def bench(connect: Connect, connect_polygon: Connect) -> Any:
    with on_command() as stand_in:
        yield Bench(stand_in, connect, connect_polygon)


def prices(frames: list[bytes]) -> list[bytes]:
    return [frame for frame in frames if b'"event":"price"' in frame]


def trades(frames: list[bytes]) -> list[dict[str, Any]]:
    return [event for frame in frames for event in json.loads(frame) if event["ev"] == "T"]


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_shares_are_checked(share: float) -> None:
    with pytest.raises(ValueError, match="share from 0 to 1"):
        StreamFaults(duplicate=share)
    with pytest.raises(ValueError, match="malformed_kinds"):
        StreamFaults(malformed_kinds=("odd",))  # type: ignore[arg-type]


def test_duplicates(bench: Bench) -> None:
    bench.stand_in.set_faults(StreamFaults(duplicate=0.3))
    bench.stand_in.send_exactly(2_000)
    frames, arrays = bench.all_frames()
    first, second = bench.stand_in.account().connections
    assert first.price_events + second.price_events == 2_000
    assert 0.2 < first.duplicates() / first.price_events < 0.4
    assert len(prices(frames)) == first.price_events + first.duplicates()
    heard = [event["i"] for event in trades(arrays)]
    assert len(heard) - len(set(heard)) == second.duplicates() > 0
    within = sum(len(ids) - len(set(ids)) for ids in ([e["i"] for e in trades([array])] for array in arrays))
    assert 0 < within < second.duplicates(), "in the same frame, and in later ones"
    assert bench.stand_in.account().odd["duplicate"].keys() == {"price.AAPL", "price.MSFT", "T.AAPL", "T.MSFT"}


def test_behaving_again(bench: Bench) -> None:
    bench.stand_in.set_faults(StreamFaults(duplicate=1.0, malformed=0.5, reorder_across=0.5, huge_bytes=9))
    bench.stand_in.send_exactly(100)
    bench.stand_in.set_faults(None)
    odd = bench.stand_in.account().odd
    bench.stand_in.send_exactly(100)
    assert bench.stand_in.account().odd == odd
    assert bench.stand_in.account().price_events == 200


def test_reordered_within_frames(bench: Bench) -> None:
    bench.stand_in.set_faults(StreamFaults(reorder_within=1.0))
    bench.stand_in.send_exactly(1_000)
    _, arrays = bench.all_frames()
    ids = [[int(event["i"]) for event in trades([array])] for array in arrays]
    assert any(each != sorted(each) for each in ids)
    sets = [sorted(each) for each in ids if each]
    assert [one for each in sets for one in each] == sorted(one for each in sets for one in each)


def test_reordered_across_frames(bench: Bench) -> None:
    bench.stand_in.set_faults(StreamFaults(reorder_across=0.2))
    bench.stand_in.send_exactly(1_500)
    frames, arrays = bench.all_frames()
    volumes = [json.loads(frame)["day_volume"] for frame in prices(frames) if b"AAPL" in frame]
    assert volumes != sorted(volumes)
    ids = [int(event["i"]) for event in trades(arrays)]
    assert ids != sorted(ids)
    assert len(ids) == len(set(ids))
    account = bench.stand_in.account()
    assert account.price_events == 1_500
    assert 200 < sum(account.odd["reordered"].values()) < 400


def test_late_and_future(bench: Bench) -> None:
    bench.stand_in.set_faults(StreamFaults(late=0.2, late_by_s=100, future=0.1, future_by_s=50))
    before = time.time()
    bench.stand_in.send_exactly(1_000)
    frames, arrays = bench.all_frames()
    ages = [before * 1_000 - event["t"] for event in trades(arrays)]
    ages += [(before - json.loads(frame)["timestamp"]) * 1_000 for frame in prices(frames)]
    assert 100 < sum(age > 2_500 for age in ages) < 300
    assert 50 < sum(age < -2_500 for age in ages) < 150
    assert -53_000 < min(ages) < -20_000
    assert 50_000 < max(ages) < 102_000
    odd = bench.stand_in.account().odd
    assert 150 < sum(odd["late"].values()) < 250
    assert 50 < sum(odd["future"].values()) < 150


def test_bars_of_late_trades_are_sent_again(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        client = connect_polygon(stand_in.url("polygon")).enter("T.AAPL", "AM.AAPL")
        stand_in.send_exactly(100)
        stand_in.send_bars()
        stand_in.set_faults(StreamFaults(late=1.0, late_by_s=150))
        for _ in range(2):
            stand_in.send_exactly(50)
            stand_in.send_bars()
        client.hear_data(200, "T")
        bars = stand_in.account().connections[0].events_sent("AM")
        times = Counter(bar["s"] for bar in bars)
        assert max(times.values()) >= 2
        latest = {bar["s"]: bar for bar in bars}
        volumes = Counter[int]()
        for trade in stand_in.account().connections[0].events_sent("T"):
            volumes[trade["t"] // 60_000 * 60_000] += trade["s"]
        assert volumes.keys() == latest.keys()
        assert all(bar["v"] >= volumes[start] for start, bar in latest.items())


@pytest.mark.parametrize("kind", get_args(MalformedKind))
def test_malformed(bench: Bench, kind: MalformedKind) -> None:
    bench.stand_in.set_faults(StreamFaults(malformed=0.2, malformed_kinds=(kind,), huge_bytes=100_000))
    bench.stand_in.send_exactly(100)
    frames, arrays = bench.all_frames()
    account = bench.stand_in.account()
    assert account.price_events == 100
    assert sum(each.odd["malformed"][kind] for each in account.connections) == account.odd["malformed"][kind] > 5
    for each, heard in zip(account.connections, (frames, arrays), strict=True):
        assert len(each.malformed) == each.odd["malformed"][kind]
        # One kind is good events in the wrong container: only as frames of their own are they malformed.
        good, spoilt = 0, [] if kind == "wrong_container" else each.malformed
        for frame in heard:
            if frame in each.malformed:
                continue
            events = json.loads(frame)
            for event in events if isinstance(events, list) else [events]:
                encoded = json.dumps(event, separators=(",", ":")).encode()
                good += encoded not in spoilt and ("price" in event or event.get("ev") == "T")
        assert good == each.price_events


def test_all_kinds_of_malformation_come_up(bench: Bench) -> None:
    bench.stand_in.set_faults(StreamFaults(malformed=0.5, huge_bytes=1_000))
    bench.stand_in.send_exactly(400)
    assert bench.stand_in.account().odd["malformed"].keys() == set(get_args(MalformedKind))


def test_fractional_volumes(bench: Bench) -> None:
    bench.stand_in.set_faults(StreamFaults(fractional=1.0))
    bench.stand_in.send_exactly(100)
    frames, arrays = bench.all_frames()
    assert all(json.loads(frame)["day_volume"] % 1 for frame in prices(frames))
    assert all("." in event["ds"] for event in trades(arrays))


def test_one_connection_only(bench: Bench) -> None:
    bench.stand_in.set_faults(StreamFaults(duplicate=1.0, late=1.0, malformed=1.0, huge_bytes=9), connection=2)
    bench.stand_in.send_exactly(200)
    good, bad = bench.stand_in.account().connections
    assert good.odd == {}
    assert bad.duplicates() == bad.price_events == sum(bad.odd["late"].values()) > 0
    assert sum(bad.odd["malformed"].values()) == bad.price_events


def test_the_same_seed_is_wrong_in_the_same_way(connect: Connect) -> None:
    odd = []
    for seed in (1, 1, 2):
        with on_command() as stand_in:
            client = connect(stand_in.url())
            client.act("subscribe", "AAPL,MSFT")
            stand_in.set_faults(StreamFaults(seed=seed, duplicate=0.2, reorder_across=0.2, malformed=0.1))
            stand_in.send_exactly(300)
            odd.append(stand_in.account().odd)
    assert odd[0] == odd[1] != odd[2]


def test_connections_to_come_have_the_faults_too_and_repeat_what_the_last_one_had(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        first = connect_polygon(stand_in.url("polygon")).enter("T.AAPL")
        stand_in.send_exactly(500)
        sent = first.hear_data(500, "T")
        stand_in.set_faults(StreamFaults(duplicate_after_reconnect=1.0))
        stand_in.drop_connections()
        again = connect_polygon(stand_in.url("polygon")).enter("T.AAPL")
        stand_in.send_exactly(10)
        repeated = {event["i"] for event in again.hear_data(210, "T")} & {event["i"] for event in sent}
        assert repeated == {event["i"] for event in sent[-200:]}
        account = stand_in.account().connections[1]
        assert (account.price_events, account.duplicates()) == (10, 200)


def test_in_a_process_of_its_own(connect: Connect) -> None:
    with StandInProcess(StandInSettings(rate=0)) as child:
        client = connect(child.url())
        client.act("subscribe", "AAPL")
        child.set_faults(StreamFaults(duplicate=1.0, malformed_kinds=("nul",)))
        child.send_exactly(10)
        assert len(client.hear_prices(20)) == 20
        child.set_faults(None)
