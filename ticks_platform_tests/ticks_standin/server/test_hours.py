"""A market that closes: what is sent in its hours, and what outside them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ticks_platform_tests.support.timing import within
from ticks_standin import StandIn, StandInError, StandInSettings

Connect = Callable[..., Any]


def from_now(begins_s: float, ends_s: float) -> tuple[str, datetime, datetime]:
    """Hours of every day, in a zone where it is about noon; with both moments."""
    now = datetime.now(timezone.utc)
    # Such a zone is so many hours behind UTC.
    zone, behind = (f"Etc/GMT{now.hour - 12:+d}", now.hour - 12) if now.hour != 12 else ("UTC", 0)
    begins, ends = ((now + timedelta(seconds=seconds)).replace(microsecond=0) for seconds in (begins_s, ends_s))
    shown = "-".join(f"{moment - timedelta(hours=behind):%H:%M:%S}" for moment in (begins, ends))
    return f"{shown} {zone}", begins, ends


def test_a_closed_market_sends_nothing_and_others_do(connect: Connect, connect_polygon: Connect) -> None:
    with StandIn(StandInSettings(rate=0, market_hours=from_now(36_000, 36_001)[0], accept_any_symbol=True)) as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL,SPY,MADEUP,RY:TSX,BTC/USD,EUR/USD")
        stand_in.send_exactly(60)
        assert {(each["symbol"], each.get("exchange")) for each in client.hear_prices(60)} == {
            ("RY", "TSX"),
            ("BTC/USD", "Coinbase Pro"),
            ("EUR/USD", None),
        }
        connect_polygon(stand_in.url("polygon")).enter("T.AAPL", "Q.AAPL", "A.AAPL")
        stand_in.load(10_000)
        client.act("unsubscribe", "RY:TSX,BTC/USD,EUR/USD")
        before = stand_in.account()
        with pytest.raises(StandInError, match="0 of 5 ticks sent"):
            stand_in.send_exactly(5, timeout_s=0.3)
        assert stand_in.account().events == before.events


@pytest.mark.full
def test_a_market_opens_and_closes() -> None:
    def away() -> float:
        """Seconds between the market's hours and the first and last event."""
        hours, begins, ends = from_now(2, 4)
        settings = StandInSettings(rate=500, market_hours=hours, history_events=10_000, traded=["T.AAPL", "price.AAPL"])
        with StandIn(settings) as stand_in:
            while datetime.now(timezone.utc) < ends + timedelta(seconds=1):
                time.sleep(0.1)
            made = [event.made_ms / 1_000 for event in stand_in.made().events]
        assert begins.timestamp() <= made[0]
        assert made[-1] < ends.timestamp()
        if not 900 <= len(made) <= 1_100:
            return math.inf
        return max(made[0] - begins.timestamp(), ends.timestamp() - made[-1])

    within(0.2, away)
