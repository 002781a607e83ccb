"""The full tape: what it holds, who gets it, and how fast it is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ticks_platform_tests.support.timing import between
from ticks_platform_tests.ticks_standin.rates import share_of_rate
from ticks_standin import StandIn, StandInError, StandInProcess, StandInSettings, StreamFaults
from ticks_standin.polygon.tape import Tape

Connect = Callable[..., Any]

NOW_MS = 1_700_049_600_000


def tape(**options: Any) -> Tape:
    given = {"symbols": 8_000, "frame_max": 300, "seed": 1, "first_id": 10**16, "avoid": frozenset({"KO"})}
    return Tape(**{**given, **options})


def on_command(**settings: Any) -> StandIn:
    return StandIn(StandInSettings(**{"rate": 0, "record": True, "load_symbols": 100, **settings}))


def test_trades_have_the_shape_of_the_markets() -> None:
    trades = [json.loads(trade) for frame in tape().frames(20_000, NOW_MS) for trade in frame.trades]
    assert len(trades) == 20_000
    assert len({trade["i"] for trade in trades}) == 20_000
    for trade in trades:
        assert list(trade)[:6] == ["ev", "sym", "x", "i", "z", "p"]
        assert int(Decimal(trade["ds"])) == trade["s"]
        assert trade["t"] == NOW_MS
        assert trade["p"] > 0
        assert trade.get("c") != []
        assert ("trfi" in trade) == ("trft" in trade) == (trade["x"] == 4)
    busiest = [trade["q"] for trade in trades if trade["sym"] == "A"]
    assert busiest == sorted(set(busiest))


def test_a_real_tape_has_the_mixture_and_a_plain_one_none_of_it() -> None:
    # 12:00 and 17:00 in New York.
    noon, evening = (NOW_MS + hours * 3_600_000 for hours in (5, 10))
    for options, at, odd_lots, form_t in (
        ({}, noon, 0.6, 0),
        ({}, evening, 0.6, 1),
        ({"real": False}, noon, 0, 0),
        ({"real": False}, evening, 0, 0),
    ):
        trades = [json.loads(trade) for frame in tape(**options).frames(5_000, at) for trade in frame.trades]
        conditions = [set(trade.get("c", [])) for trade in trades]
        assert odd_lots <= sum(37 in each for each in conditions) / 5_000 < odd_lots + 0.15
        assert sum(bool(each & {12, 13}) for each in conditions) == form_t * 5_000
        assert any(2 in each for each in conditions) == bool(odd_lots)


def test_symbols_are_skewed_like_those_of_a_market() -> None:
    made = tape()
    counted = Counter(symbol for frame in made.frames(100_000, NOW_MS) for symbol in frame.symbols)
    assert 0.018 < counted[0] / 100_000 < 0.025
    assert len(counted) > 7_500
    assert len(set(made.symbols)) == 8_000
    assert "KO" not in made.symbols


def test_frames_are_of_mixed_sizes() -> None:
    sizes = [len(frame.trades) for frame in tape().frames(100_000, NOW_MS)]
    assert min(sizes) == 1
    assert 250 < max(sizes) <= 300


def test_the_same_seed_gives_the_same_tape() -> None:
    first, second, other = (list(tape(seed=seed).frames(500, NOW_MS)) for seed in (1, 1, 2))
    assert first == second != other


def test_exactly_as_much_as_asked_for(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        whole = connect_polygon(stand_in.url("polygon")).enter("T.*")
        part = connect_polygon(stand_in.url("polygon")).enter("T.A", "T.B", "Q.A")
        stand_in.send_tape(5_000)
        events = whole.hear_data(5_000, "T")
        first, second = stand_in.account().connections
        assert whole.heard == first.sent
        assert first.events == Counter(f"T.{event['sym']}" for event in events)
        assert part.hear_data(second.price_events, "T") == [event for event in events if event["sym"] in ("A", "B")]
        assert stand_in.account().ticks == 5_000


def test_the_tape_can_have_faults(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        client = connect_polygon(stand_in.url("polygon")).enter("T.*")
        stand_in.set_faults(StreamFaults(duplicate=0.1))
        stand_in.send_tape(2_000)
        (account,) = stand_in.account().connections
        assert account.price_events == 2_000
        assert 100 < account.duplicates() < 300
        client.hear_data(2_000 + account.duplicates(), "T")


def test_nobody_wants_it() -> None:
    with on_command() as stand_in, pytest.raises(StandInError, match="0 of 10 trades"):
        stand_in.send_tape(10, timeout_s=0.1)


def test_rate_is_held_in_a_process_of_its_own(connect_polygon: Connect) -> None:
    with StandInProcess(StandInSettings(rate=0, load_rate=20_000)) as child:
        client = connect_polygon(child.url("polygon")).enter("T.*")
        between(0.8, 1.2, lambda: share_of_rate(child, client, 20_000))
        child.load(0)
