"""The stand-in's own rule for the hours of the exchanges, against a calendar that others keep."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest
from pydantic import ValidationError

from ticks_standin import StandInSettings
from ticks_standin.market.hours import NEW_YORK, TradingHours, regular_hours

UNPLANNED = {date(2018, 12, 5), date(2025, 1, 9)}
"""Days of mourning, which no rule foresees."""


def ms(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000


def test_the_rule_agrees_with_the_calendar() -> None:
    calendar = exchange_calendars.get_calendar("XNYS", start="2016-01-01", end="2027-06-30")
    known = {
        session.date(): (calendar.session_open(session).value // 10**6, calendar.session_close(session).value // 10**6)
        for session in calendar.sessions
    }
    day = date(2016, 1, 1)
    while day < date(2027, 6, 30):
        hours = regular_hours(ms(datetime(day.year, day.month, day.day, 17, tzinfo=timezone.utc)))
        if day not in UNPLANNED:
            assert (None if hours is None else tuple(hours)) == known.get(day), day
        day += timedelta(days=1)


def test_a_half_day() -> None:
    closes = datetime(2026, 11, 27, 18, tzinfo=timezone.utc)  # 13:00 in New York, the day after Thanksgiving
    hours = TradingHours("04:00-20:00")
    assert hours.is_regular(ms(closes) - 1)
    assert not hours.is_regular(ms(closes))
    assert not hours.is_regular(ms(datetime(2026, 11, 27, 14, 29, tzinfo=timezone.utc)))
    assert hours.is_open(ms(closes + timedelta(hours=4)) - 1), "late trade ends four hours after the close, as ever"
    assert not hours.is_open(ms(closes + timedelta(hours=4)))


@pytest.mark.parametrize("day", [date(2026, 3, 6), date(2026, 3, 9), date(2026, 7, 15)])
def test_extended_hours_are_new_yorks(day: date) -> None:
    hours = TradingHours("04:00-20:00")
    begins, ends = (ms(datetime.combine(day, time(hour), NEW_YORK)) for hour in (4, 20))
    assert hours.market(begins) == hours.market(ends - 1) == (begins, ends), "which is the next day in UTC"
    assert [hours.is_open(at) for at in (begins - 1, begins, ends - 1, ends)] == [False, True, True, False]
    assert not hours.is_regular(begins)


def test_the_market_is_closed_on_weekends_and_holidays() -> None:
    hours = TradingHours("04:00-20:00")
    for day in (date(2026, 11, 26), date(2026, 11, 28), date(2026, 11, 29)):
        times = [ms(datetime.combine(day, time(hour), NEW_YORK)) for hour in range(24)]
        assert not any(hours.is_open(at_ms) for at_ms in times)
        assert all(TradingHours().is_open(at_ms) for at_ms in times)


def test_times_with_a_zone_are_those_of_every_day() -> None:
    hours = TradingHours("10:00:05-10:00:50 Asia/Tokyo", "10:00:15-10:00:40")
    begins = datetime(2026, 11, 28, 10, 0, 5, tzinfo=ZoneInfo("Asia/Tokyo"))  # a Saturday
    for second in range(-10, 60):
        at_ms = ms(begins + timedelta(seconds=second))
        assert hours.is_open(at_ms) == (0 <= second < 45)
        assert hours.is_regular(at_ms) == (10 <= second < 35)
    assert TradingHours("10:00-11:00 UTC").regular(0) == TradingHours("10:00-11:00 UTC").market(0)


@pytest.mark.parametrize(
    ("market", "regular"),
    [
        ("4-20", ""),
        ("20:00-04:00", ""),
        ("04:00-20:00 Mars/Base", ""),
        ("04:00-20:00", "09:30-16:00"),
        ("", "09:30-16:00"),
        ("10:00-11:00 UTC", "10:30-11:30"),
        ("10:00-11:00 UTC", "10:30-10:40 UTC"),
    ],
)
def test_hours_that_are_none(market: str, regular: str) -> None:
    with pytest.raises(ValidationError, match=r"hours|times|after it begins"):
        StandInSettings(market_hours=market, regular_hours=regular)
