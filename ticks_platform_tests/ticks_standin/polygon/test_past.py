"""The past that a channel has at its first subscription: in REST and in the account, and sent to nobody."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest

from ticks_platform_tests.ticks_standin.polygon.test_rest import get
from ticks_standin import StandIn, StandInSettings, daemon

Connect = Callable[..., Any]

HOUR_MS = 3_600_000


def with_past(**settings: Any) -> StandIn:
    return StandIn(StandInSettings(**{"rate": 0, "history_events": 50_000, "past_s": 3600, **settings}))


def served(stand_in: StandIn, symbol: str) -> list[dict[str, Any]]:
    status, body = get(stand_in, f"/v3/trades/{symbol}?order=asc&limit=50000")
    assert status == 200
    found: list[dict[str, Any]] = body.get("results", [])
    return found


def test_a_channel_has_a_past_when_it_is_subscribed_to(connect_polygon: Connect) -> None:
    with with_past() as stand_in:
        assert served(stand_in, "AAPL") == [], "nobody has asked for it"
        began = time.time_ns() // 1_000_000
        client = connect_polygon(stand_in.url("polygon")).enter("T.AAPL")
        stand_in.send_exactly(20)
        heard = client.hear_data(20, "T")
        trades = served(stand_in, "AAPL")
        assert [trade["id"] for trade in trades[-20:]] == [event["i"] for event in heard], "the past is sent to nobody"
        past = trades[:-20]
        assert len(past) == 1_800, "one in two seconds"
        times = [trade["sip_timestamp"] // 1_000_000 for trade in past]
        assert times == sorted(times)
        assert abs(times[0] - (began - HOUR_MS)) < 60_000
        assert times[-1] <= time.time_ns() // 1_000_000
        assert len({trade["id"] for trade in trades}) == len(trades)
        made = stand_in.made("T.AAPL").events
        assert [event.sent_on for event in made] == [[]] * 1_800 + [[1]] * 20, "the account has it as well"


def test_a_second_subscription_makes_no_other_past(connect_polygon: Connect) -> None:
    with with_past() as stand_in:
        connect_polygon(stand_in.url("polygon")).enter("T.AAPL")
        before = served(stand_in, "AAPL")
        connect_polygon(stand_in.url("polygon")).enter("T.AAPL", "T.MSFT")
        assert served(stand_in, "AAPL") == before
        assert len(served(stand_in, "MSFT")) > 1_700, "a symbol that is added later has its own"


def test_the_past_fills_half_of_the_history_at_most(connect_polygon: Connect) -> None:
    with with_past(history_events=1_000) as stand_in:
        connect_polygon(stand_in.url("polygon")).enter("T.AAPL", "T.MSFT")
        trades = served(stand_in, "AAPL") + served(stand_in, "MSFT")
        assert len(trades) == 500
        assert max(trade["sip_timestamp"] for trade in trades) - min(trade["sip_timestamp"] for trade in trades) > 3e12


@pytest.mark.full
def test_only_the_first_stand_in_of_a_feed_makes_a_past(tmp_path: Path, connect_polygon: Connect) -> None:
    """What a later one would make up is not what the first one had, and had perhaps sent."""
    file = tmp_path / "tape.json"
    settings = StandInSettings(rate=0, history_events=10_000, past_s=3600)
    try:
        first = daemon.ensure_running(file, settings)
        connect_polygon(first.url("polygon")).enter("T.AAPL")
        found = daemon.find(file)
        assert found is not None
        assert abs(time.time_ns() // 1_000_000 - HOUR_MS - found.history_since_ms) < 120_000
        again = daemon.ensure_running(file, settings.model_copy(update={"past_s": 7200.0}))
        assert again.port == first.port, "another past needs no other one"
        daemon.stop(file)
        started = time.time_ns() // 1_000_000
        second = daemon.ensure_running(file, settings)
        assert daemon.ensure_running(file, settings).port == second.port
        connect_polygon(second.url("polygon")).enter("T.AAPL")
        found = daemon.find(file)
        assert found is not None
        assert found.history_since_ms >= started
    finally:
        daemon.stop(file)


def test_a_past_needs_a_history() -> None:
    with pytest.raises(pydantic.ValidationError, match="past_s needs history_events"):
        StandInSettings(past_s=60)
