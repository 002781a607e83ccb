"""A trading day of any length around now: settings of the stand-in's market, and of a feed of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NamedTuple


class TradingDay(NamedTuple):
    """The hours of a market, all in whole seconds of UTC. It may begin before midnight and end after it."""

    opens: datetime
    regular_opens: datetime
    regular_closes: datetime
    closes: datetime

    @property
    def stand_in(self) -> dict[str, str]:
        """Settings of a stand-in with this market, in a time zone in which it is about noon."""
        offset = 12 - self.opens.hour
        zone = timezone(timedelta(hours=offset))
        # The zones of this name have the opposite sign.
        return {
            "market_hours": f"{_hours(self.opens.astimezone(zone), self.closes.astimezone(zone))} Etc/GMT{-offset:+d}",
            "regular_hours": _hours(self.regular_opens.astimezone(zone), self.regular_closes.astimezone(zone)),
        }

    @property
    def feed(self) -> dict[str, str]:
        """Settings of a feed, or of a symbol."""
        return {
            "calendar": f"always {_hours(self.regular_opens, self.regular_closes)}",
            "hours": _hours(self.opens, self.closes),
        }

    @property
    def calendar(self) -> str:
        """The name of the calendar of sending hours, of a market whose regular hours are these."""
        return " ".join(self.feed.values())


def _hours(begins: datetime, ends: datetime) -> str:
    return f"{begins:%H:%M:%S}-{ends:%H:%M:%S}"
