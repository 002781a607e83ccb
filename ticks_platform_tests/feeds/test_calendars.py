"""When markets are open."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from ticks_platform.feeds.calendars import Calendar, UnknownCalendarError, calendar, is_same_market, with_hours

HOUR, DAY = 3_600.0, 86_400.0


def at(text: str) -> float:
    """A UTC time as seconds since the Unix epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("name", "moment", "opened"),
    [
        ("always", "2025-12-25 03:00", "1970-01-01 00:00"),
        ("XNYS", "2025-11-19 14:29:59", None),
        ("XNYS", "2025-11-19 14:30", "2025-11-19 14:30"),
        ("XNYS", "2025-11-19 20:59:59", "2025-11-19 14:30"),
        ("XNYS", "2025-11-19 21:00", None),
        ("XNYS", "2025-07-15 13:30", "2025-07-15 13:30"),  # summer
        ("XNYS", "2025-11-22 17:00", None),  # a Saturday
        ("XNYS", "2025-11-27 17:00", None),  # Thanksgiving
        ("XNYS", "2025-11-28 17:59", "2025-11-28 14:30"),  # a half day
        ("XNYS", "2025-11-28 18:00", None),
        ("XTKS", "2025-11-25 02:29", "2025-11-25 00:00"),
        ("XTKS", "2025-11-25 02:30", None),  # lunch
        ("XTKS", "2025-11-25 03:29", None),
        ("XTKS", "2025-11-25 03:30", "2025-11-25 03:30"),
        ("XTKS", "2025-11-25 06:29", "2025-11-25 03:30"),
        ("XTKS", "2025-11-24 01:00", None),  # Labour Thanksgiving
        ("24/5", "2025-11-19 03:00", "2025-11-16 22:00"),
        ("24/5", "2025-11-21 21:59", "2025-11-16 22:00"),
        ("24/5", "2025-11-21 22:00", None),  # Friday, 17:00 in New York
        ("24/5", "2025-11-22 12:00", None),
        ("24/5", "2025-11-23 21:59", None),
        ("24/5", "2025-11-23 22:00", "2025-11-23 22:00"),
        ("24/5", "2025-07-13 21:00", "2025-07-13 21:00"),  # summer
        ("24/5", "2025-07-18 21:00", None),
        ("24/5", "2045-06-14 12:00", "2045-06-11 21:00"),
        ("24/5", "2026-03-08 20:59:59", None),  # the Sunday on which summer time begins
        ("24/5", "2026-03-08 21:00", "2026-03-08 21:00"),
        ("24/5", "2026-10-30 20:59:59", "2026-10-25 21:00"),
        ("24/5", "2026-11-01 21:59:59", None),  # and ends
        ("24/5", "2026-11-01 22:00", "2026-11-01 22:00"),
        ("24/5", "2025-12-24 21:59", "2025-12-21 22:00"),
        ("24/5", "2025-12-24 22:00", None),  # Christmas, from 17:00 in New York on the evening before
        ("24/5", "2025-12-25 21:59", None),
        ("24/5", "2025-12-25 22:00", "2025-12-25 22:00"),
        ("24/5", "2025-12-31 21:59", "2025-12-28 22:00"),
        ("24/5", "2026-01-01 12:00", None),  # New Year
        ("24/5", "2026-01-01 22:00", "2026-01-01 22:00"),
        ("24/5", "2027-01-01 22:00", None),  # on a Friday: until Sunday
        ("24/5", "2027-01-03 22:00", "2027-01-03 22:00"),
        ("24/5", "2027-12-31 21:59", "2027-12-26 22:00"),  # before one on a Saturday
        ("24/5", "2023-01-01 22:00", "2023-01-01 22:00"),
        ("24/5", "2022-12-25 22:00", "2022-12-25 22:00"),  # on a Sunday: Monday's trading begins as usual
        ("XNYS 04:00-20:00", "2025-11-19 08:59:59", None),
        ("XNYS 04:00-20:00", "2025-11-19 09:00", "2025-11-19 09:00"),
        ("XNYS 04:00-20:00", "2025-11-20 00:59:59", "2025-11-19 09:00"),
        ("XNYS 04:00-20:00", "2025-11-20 01:00", None),
        ("XNYS 04:00-20:00", "2025-07-15 08:00", "2025-07-15 08:00"),  # summer
        ("XNYS 04:00-20:00", "2025-11-22 17:00", None),  # a Saturday
        ("XNYS 04:00-20:00", "2025-11-27 17:00", None),  # Thanksgiving
        ("XNYS 04:00-20:00", "2025-11-28 21:59", "2025-11-28 09:00"),  # a half day
        ("XNYS 04:00-20:00", "2025-11-28 22:00", None),
        ("XNYS 16:00-20:00", "2025-11-28 18:00", "2025-11-28 18:00"),  # the late session
        ("XNYS 16:00-20:00", "2025-11-28 22:00", None),
        ("NASDAQ 04:00-12:00", "2025-11-28 16:59", "2025-11-28 09:00"),  # what ends before noon ends at noon
        ("XNYS 07:00:30-20:00", "2025-11-19 12:00:29", None),
        ("XNYS 07:00:30-20:00", "2025-11-19 12:00:30", "2025-11-19 12:00:30"),
        ("XNYS 20:00-20:00", "2025-11-19 00:59", "2025-11-17 01:00"),  # from Sunday evening, without a pause
        ("XNYS 20:00-20:00", "2026-03-08 23:59:59", None),  # the evening of the change to summer time
        ("XNYS 20:00-20:00", "2026-03-09 00:00", "2026-03-09 00:00"),
        ("XNYS 00:00-24:00", "2026-11-25 23:59:59", "2026-11-23 05:00"),
        ("XNYS 00:00-00:00", "2025-11-21 23:59:59", "2025-11-17 05:00"),  # midnight ends the day
        ("XNYS 00:00-00:00", "2025-11-16 17:00", None),
        ("XNYS 24:00-00:00", "2025-11-21 23:59:59", "2025-11-17 05:00"),
        ("XNYS 04:00-00:00", "2025-11-19 08:59:59", None),
        ("XNYS 04:00-00:00", "2025-11-20 04:59:59", "2025-11-19 09:00"),
        ("XNYS 20:00-04:00", "2025-11-19 03:00", "2025-11-19 01:00"),
        ("XNYS 20:00-04:00", "2025-11-19 09:00", None),
        ("XTKS 08:00-16:00", "2025-11-25 02:45", "2025-11-24 23:00"),  # in the lunch break
        ("24/5 08:00-17:00", "2025-11-19 13:00", "2025-11-19 13:00"),
        ("24/5 08:00-17:00", "2025-12-25 14:00", None),
        ("always 09:00-17:00", "2025-12-25 09:00", "2025-12-25 09:00"),
        ("always 09:00-24:00", "2025-12-25 23:59", "2025-12-25 09:00"),
        ("always 00:00-24:00", "2025-12-25 23:59", "2000-01-02 00:00"),
        ("XNYS", "1990-06-13 17:00", None),
    ],
)
def test_calendars(name: str, moment: str, opened: str | None) -> None:
    assert calendar(name).open_since(at(moment)) == (None if opened is None else at(opened))


def test_sessions() -> None:
    begin, end = at("2025-11-24 00:00"), at("2025-11-26 02:00")
    day, next_day = at("2025-11-25 00:00"), at("2025-11-26 00:00")
    assert calendar("XTKS").sessions(begin, end) == [
        (day, day + 2.5 * HOUR),
        (day + 3.5 * HOUR, day + 6.5 * HOUR),
        (next_day, end),
    ]
    assert calendar("XTKS").sessions(day + HOUR, day + 2 * HOUR) == [(day + HOUR, day + 2 * HOUR)]
    assert calendar("XTKS").sessions(day + 3 * HOUR, day + 3.2 * HOUR) == []
    assert calendar("always").sessions(begin, end) == [(begin, end)]
    assert calendar("always").sessions(end, begin) == calendar("XNYS").sessions(end, begin) == []


def days_of(name: str) -> Iterator[float]:
    begin = at("2025-01-01 00:00")
    for day in range(365):
        yield sum(
            closes - opens for opens, closes in calendar(name).sessions(begin + day * DAY, begin + (day + 1) * DAY)
        )


@pytest.mark.parametrize(("name", "hours"), [("always", 8_760.0), ("24/5", 52 * 120.0 + 2.0 - 48.0), ("XNYS", 1_616.0)])
def test_hours_of_a_year(name: str, hours: float) -> None:
    assert math.fsum(days_of(name)) / HOUR == pytest.approx(hours, rel=0.01)


@pytest.mark.parametrize("name", ["NOPE", "", "nyse", "24/7 ", "XNYS 4-20", "XNYS 04:00-24:01", "NOPE 04:00-20:00"])
def test_an_unknown_calendar(name: str) -> None:
    with pytest.raises(UnknownCalendarError, match="MIC"):
        Calendar(name)


def test_names_of_sending_hours() -> None:
    assert with_hours("XNYS", "regular") == "XNYS"
    assert with_hours("XNYS", "always") == "always"
    assert with_hours("XNYS", "04:00-20:00") == "XNYS 04:00-20:00"
    assert with_hours("XNYS 09:30-12:00", "04:00-20:00") == "XNYS 09:30-12:00 04:00-20:00"
    hours = calendar("XNYS 09:30-12:00 04:00-20:00")
    assert hours.open_since(at("2025-11-20 00:59")) == at("2025-11-19 09:00")
    assert hours.market.open_since(at("2025-11-19 17:00")) is None
    assert hours.market.market is calendar("XNYS").market is calendar("XNYS")
    assert is_same_market("XNYS 04:00-20:00", "NASDAQ")
    assert not is_same_market("XTKS", "XNYS")
    assert not is_same_market("always", "XNYS")


def test_calendars_are_cached() -> None:
    assert calendar("XNYS") is calendar("XNYS")
