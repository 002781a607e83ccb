"""Where the hours of US stocks were before other providers shared them; for imports of users' own code."""

from ticks_platform.feeds.us_stocks.regular_hours import (
    DAY,
    NEW_YORK,
    Hours,
    hours_at,
    hours_of_day,
    new_york_date,
    start_of_day,
)

__all__ = ["DAY", "NEW_YORK", "Hours", "hours_at", "hours_of_day", "new_york_date", "start_of_day"]
