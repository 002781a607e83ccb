"""The stand-in's own rule for the hours of the exchanges, against a calendar that others keep."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import exchange_calendars

from ticks_standin.market.hours import is_regular, regular_hours

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
    assert is_regular(ms(closes) - 1)
    assert not is_regular(ms(closes))
    assert not is_regular(ms(datetime(2026, 11, 27, 14, 29, tzinfo=timezone.utc)))
