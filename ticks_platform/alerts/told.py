"""What people have been told, and what is still to be posted; kept as text between two looks.

A trouble is told when it has lasted for its grace, while it lasts after an hour, four more hours and then every day,
and when it is over. A message waits here until the webhook has taken it: neither a restart nor an outage of the webhook
loses one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from ticks_platform.alerts import webhook

REMINDERS = (3600.0, 4 * 3600.0, 86_400.0)
"""Seconds from one message to the next of a trouble that lasts; the last one is repeated."""

MOST_WAITING = 300
"""Messages that wait; older ones are then counted only."""

RED, YELLOW, GREEN = ":red_circle:", ":large_yellow_circle:", ":large_green_circle:"


class Trouble(NamedTuple):
    """Something that is wrong now."""

    key: str
    """What it is, the same for as long as it lasts, such as ``feed stocks refused``."""
    text: str
    """For people, in one line."""
    grace: float = 0.0
    """Seconds that it has to last before it is told; it is over when it has been away for as long."""
    warning: bool = False
    """Whether it is less than an error. A change of that is told."""
    over: str = ""
    """What is said when it is over; by default that it is."""


class _Known(NamedTuple):
    since: float
    seen_at: float
    text: str
    over: str
    grace: float
    warning: bool
    told_at: float | None = None
    """None while it has not lasted long enough to be told."""
    reminders: int = 0


class Told:
    """The troubles that are known, and the messages that wait. Times are seconds since the Unix epoch."""

    def __init__(self, known: dict[str, _Known] | None = None, waiting: Iterable[str] = (), dropped: int = 0) -> None:
        self._known = known or {}
        self.waiting = list(waiting)
        """Messages that are to be posted, oldest first."""
        self._dropped = dropped

    @classmethod
    def load(cls, text: str | None) -> Told:
        """Continue from what `dump` returned; what cannot be read, such as an older release's, starts over."""
        try:
            content: dict[str, Any] = json.loads(text or "{}")
            known = {key: _Known(*values) for key, values in content["known"].items()}
            return cls(known, content["waiting"], content["dropped"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def dump(self) -> str:
        """As a sensor's cursor."""
        return json.dumps({"known": self._known, "waiting": self.waiting, "dropped": self._dropped})

    def follow(
        self, troubles: Collection[Trouble], *, now: float, is_unknown: Callable[[str], bool] = lambda _key: False
    ) -> None:
        """Take note of what is wrong now. Known troubles that cannot be judged now, by their key, stay as they are."""
        for trouble in troubles:
            self._see(trouble, now)
        seen = {trouble.key for trouble in troubles}
        for key, known in list(self._known.items()):
            # A clock that was set back must not keep a trouble for ever.
            away = now - known.seen_at if now >= known.seen_at else known.grace
            if key in seen or is_unknown(key) or (known.told_at is not None and away < known.grace):
                continue
            del self._known[key]
            if known.told_at is not None:
                self.say(f"{GREEN} {known.over or f'over: {known.text}'} (after {_duration(now - known.since)})")

    def _see(self, trouble: Trouble, now: float) -> None:
        known = self._known.get(trouble.key)
        # A clock that was set back must not keep an alert waiting.
        since = now if known is None else min(now, known.since)
        told_at = None if known is None or known.told_at is None else min(now, known.told_at)
        reminders = 0 if known is None else known.reminders
        has_changed = known is not None and known.warning != trouble.warning
        symbol = YELLOW if trouble.warning else RED
        if told_at is None or has_changed:
            if told_at is not None or now - since >= trouble.grace:
                self.say(f"{symbol} {trouble.text}")
                told_at = now
        elif now - told_at >= REMINDERS[min(reminders, len(REMINDERS) - 1)]:
            self.say(f"{symbol} still, for {_duration(now - since)}: {trouble.text}")
            told_at, reminders = now, reminders + 1
        self._known[trouble.key] = _Known(
            since, now, trouble.text, trouble.over, trouble.grace, trouble.warning, told_at, reminders
        )

    def say(self, text: str) -> None:
        """Add a message that is told once."""
        self.waiting.append(text)
        excess = len(self.waiting) - MOST_WAITING
        if excess > 0:
            del self.waiting[:excess]
            self._dropped += excess

    def post(self, post: Callable[[str], None]) -> int:
        """Post what waits, as many messages at once as fit; returns how many. What raises keeps the rest for later."""
        posted = 0
        while self.waiting:
            lines = list(_fitting(self.waiting))
            earlier = [f"{self._dropped} earlier messages could not be posted"] if self._dropped else []
            post("\n".join([*earlier, *lines]))
            del self.waiting[: len(lines)]
            self._dropped = 0
            posted += len(lines)
        return posted


def _fitting(lines: Iterable[str]) -> Iterator[str]:
    """The first of these lines that fit into a message: one at least."""
    length = 0
    for index, line in enumerate(lines):
        length += len(line) + 1
        if index and length > webhook.LONGEST_TEXT - 100:
            return
        yield line


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
