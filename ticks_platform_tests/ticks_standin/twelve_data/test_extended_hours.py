"""Twelve Data's bars of extended hours at the stand-in: on request, without volume, and for some plans only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from ticks_platform_tests.ticks_standin.twelve_data.test_rest import PRICES, ask, candles, on_command
from ticks_standin.market.hours import NEW_YORK, TradingHours

DAY = datetime(2026, 3, 11, tzinfo=NEW_YORK)
BEGINS, OPENS, CLOSES, ENDS = (DAY.replace(hour=h, minute=m) for h, m in ((4, 0), (9, 30), (16, 0), (20, 0)))
PREPOST = "&prepost=true"
SERIES = "/time_series?symbol=AAPL&start_date=2026-03-11&end_date=2026-03-11T23:59:00&order=asc&interval="


def traded_day(**settings: Any) -> Any:
    return on_command(traded=["price.AAPL"], market_hours="04:00-20:00", **settings)


def local(values: list[dict[str, str]]) -> list[datetime]:
    return [datetime.fromisoformat(bar["datetime"]).replace(tzinfo=NEW_YORK) for bar in values]


def test_a_day_is_made_in_its_hours() -> None:
    with traded_day() as stand_in:
        stand_in.trade_unheard(4_800, DAY, DAY.replace(hour=23, minute=59))
        made = stand_in.made().events
        assert len(made) == stand_in.account().ticks > 3_000
        times = [datetime.fromtimestamp(event.time_ns / 1e9, NEW_YORK) for event in made]
        assert BEGINS <= times[0] < OPENS
        assert CLOSES < times[-1] < ENDS
        assert sum(OPENS <= at < CLOSES for at in times) < len(times) / 2


def test_bars_are_of_regular_hours_unless_asked_otherwise() -> None:
    with traded_day() as stand_in:
        stand_in.trade_unheard(9_600, BEGINS, ENDS)
        events = [event.decoded() for event in stand_in.made(payloads=True).events]
        regular, extended = (ask(stand_in, f"{SERIES}1min&timezone=UTC{more}")[1]["values"] for more in ("", PREPOST))
        assert {bar["datetime"]: tuple(bar[name] for name in PRICES) for bar in extended} == candles(events)
        assert len(extended) == 960
        assert [bar for bar in extended if bar["volume"] != "0"] == regular
        assert len(regular) == 390
        assert all(OPENS <= at < CLOSES for at in local(ask(stand_in, f"{SERIES}1min")[1]["values"]))


@pytest.mark.parametrize(("interval", "bars"), [("5min", 192), ("15min", 64), ("30min", 32), ("1h", 7), ("1day", 1)])
def test_intervals(interval: str, bars: int) -> None:
    with traded_day() as stand_in:
        stand_in.trade_unheard(4_800, BEGINS, ENDS)
        extended = ask(stand_in, f"{SERIES}{interval}{PREPOST}")[1]["values"]
        assert len(extended) == bars
        regular = ask(stand_in, f"{SERIES}{interval}")[1]["values"]
        assert (extended == regular) == (interval in ("1h", "1day"))


def test_volume_may_be_absent() -> None:
    with traded_day(twelve_data_prepost_volume="absent") as stand_in:
        stand_in.trade_unheard(2_000, BEGINS, ENDS)
        values = ask(stand_in, f"{SERIES}30min{PREPOST}")[1]["values"]
        with_volume = [at for at, bar in zip(local(values), values, strict=True) if "volume" in bar]
        assert with_volume == [at for at in local(values) if OPENS <= at < CLOSES]


def test_a_plan_may_not_include_them() -> None:
    with traded_day(twelve_data_prepost=False) as stand_in:
        stand_in.trade_unheard(500, BEGINS, ENDS)
        status, body, _ = ask(stand_in, f"{SERIES}1min{PREPOST}")
        assert (status, body["code"], body["status"]) == (403, 403, "error")
        assert body["message"].startswith("prepost is available exclusively with pro")
        assert ask(stand_in, f"{SERIES}1min")[0] == 200
        assert ask(stand_in, f"{SERIES}1min{PREPOST}".replace("AAPL", "EUR/USD"))[0] != 403


def test_times_of_every_day_with_seconds() -> None:
    hours = {"market_hours": "12:00:05-12:00:50 UTC", "regular_hours": "12:00:20-12:00:40"}
    with on_command(traded=["price.AAPL", "T.AAPL"], **hours) as stand_in:
        begins = datetime.fromisoformat("2026-03-14T12:00:00+00:00")  # a Saturday
        stand_in.trade_unheard(600, begins, begins.replace(minute=1))
        made = stand_in.made("T.AAPL", payloads=True).events
        seconds = [event.decoded()["t"] // 1_000 % 60 for event in made]
        assert (min(seconds), max(seconds)) == (5, 49)
        regular = [event for event in made if TradingHours(*hours.values()).is_regular(event.time_ns // 10**6)]
        form_t = [event for event in made if {12, 13} & set(event.decoded().get("c", ()))]
        assert not {event.number for event in form_t} & {event.number for event in regular}
        # The auction at the close and the official close come right after it, and without Form T.
        assert len(made) - 4 <= len(form_t) + len(regular) <= len(made)
        asked = "/time_series?symbol=AAPL&interval=1min"
        events = [event.decoded() for event in stand_in.made("price.AAPL", payloads=True).events]
        prices = [event["price"] for event in events if 20 <= event["timestamp"] % 60 < 40]
        (bar,) = ask(stand_in, asked)[1]["values"]
        assert (float(bar["open"]), float(bar["close"])) == (prices[0], prices[-1])
        (whole,) = ask(stand_in, asked + PREPOST)[1]["values"]
        assert float(whole["open"]) == events[0]["price"]
        assert whole["volume"] == bar["volume"]
