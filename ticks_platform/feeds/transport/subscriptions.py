"""Subscriptions as desired state: what is wanted, what was asked for, what the provider answered. Free of I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence

from ticks_platform.feeds.connector import Conversation
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, NotEntitled, Notice, Unsubscribed

ACKNOWLEDGE_TIMEOUT = 10.0
"""Seconds after which a channel that was neither acknowledged nor failed is asked for again."""

ATTEMPTS = 3
"""How often a channel is asked for before it is reported as unanswered."""

_MINUTE = 60.0


class RateLimit:
    """Messages that a provider takes of one connection in any 60 seconds."""

    def __init__(self, messages_per_minute: int | None) -> None:
        self._limit = messages_per_minute
        self._sent: deque[float] = deque()

    def room(self, now: float) -> int:
        """How many messages may be sent at this moment."""
        if self._limit is None:
            return 1_000_000
        while self._sent and now - self._sent[0] >= _MINUTE:
            self._sent.popleft()
        return self._limit - len(self._sent)

    def sent(self, now: float) -> None:
        """Count a message."""
        if self._limit is not None:
            self._sent.append(now)


class _Request:
    """Channels that were asked for in one go."""

    def __init__(self, channels: Iterable[str], at: float) -> None:
        self.open = set(channels)
        self.at = at
        self.refusal: str | None = None


class Subscriptions:
    """One connection's subscriptions. Times are seconds of a monotonic clock, given by the caller."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._wanted: dict[str, None] = {}
        self._attempts: dict[str, int] = {}
        self._requests: list[_Request] = []
        self._active: set[str] = set()
        self._settled: set[str] = set()
        self._again: dict[str, None] = {}
        self._changed = False
        """Whether `due` may have something to say; it is asked ten times a second, for thousands of channels."""

    @property
    def active(self) -> frozenset[str]:
        """Channels that the provider has acknowledged."""
        return frozenset(self._active)

    @property
    def settled(self) -> bool:
        """Whether every wanted channel has been answered, or been given up."""
        return not self._requests and not self._unasked()

    def want(self, channels: Iterable[str]) -> None:
        """Make these the wanted channels, all others unwanted."""
        self._wanted = dict.fromkeys(channels)
        self._changed = True

    def ask_again(self, channels: Iterable[str]) -> None:
        """Give these channels up and ask for them anew, with the next `due`."""
        self._again.update(dict.fromkeys(channel for channel in channels if channel in self._wanted))
        self._changed = True

    def due(self, now: float, *, room: int) -> list[str]:
        """The messages to send now, as far as there is `room`. They count as sent."""
        messages: list[str] = []
        if not self._changed or room <= 0:
            return messages
        unwanted = [channel for channel in self._known() if channel not in self._wanted]
        gone = [*unwanted, *(channel for channel in self._again if channel in self._active)]
        if gone:
            messages += self._conversation.unsubscribe(gone)
            self._forget(gone)
        self._again.clear()
        asked = self._unasked()
        if asked and len(messages) >= room:
            return messages
        if asked:
            messages += self._conversation.subscribe(asked)
            for channel in asked:
                self._attempts[channel] = self._attempts.get(channel, 0) + 1
            self._requests.append(_Request(asked, now))
        self._changed = False
        return messages

    def answered(self, notice: Notice) -> None:
        """Take note of what the provider says about channels."""
        if isinstance(notice, Acknowledged):
            self._active.update(channel for channel in notice.channels if channel in self._wanted)
            self._settle(notice.channels)
        elif isinstance(notice, ChannelsFailed):
            self._active.difference_update(notice.reasons)
            self._settle(notice.reasons)
        elif isinstance(notice, Unsubscribed):
            self._active.difference_update(set(notice.channels) - self._wanted.keys())
        elif isinstance(notice, NotEntitled) and self._requests:
            self._requests[0].refusal = notice.reason

    def overdue(self, now: float) -> ChannelsFailed | None:
        """What has to be reported: channels unanswered after the last attempt, or refused without being named.

        Channels that were asked for less often are asked for again with the next `due`.
        """
        reasons: dict[str, str] = {}
        while self._requests and now - self._requests[0].at >= ACKNOWLEDGE_TIMEOUT:
            request = self._requests.pop(0)
            self._changed = True
            for channel in sorted(request.open):
                if request.refusal is not None:
                    reasons[channel] = f"{request.refusal} (the provider does not say which channel it means)"
                elif self._attempts.get(channel, 0) >= ATTEMPTS:
                    reasons[channel] = f"not acknowledged within {ACKNOWLEDGE_TIMEOUT:g} s, asked {ATTEMPTS} times"
            self._settled.update(channel for channel in request.open if channel in reasons)
        return ChannelsFailed(reasons) if reasons else None

    def next_deadline(self) -> float:
        """When `overdue` is worth a look."""
        return self._requests[0].at + ACKNOWLEDGE_TIMEOUT if self._requests else float("inf")

    def _known(self) -> Sequence[str]:
        asked = [channel for request in self._requests for channel in sorted(request.open)]
        return [*sorted(self._active), *asked, *sorted(self._settled - self._active)]

    def _unasked(self) -> list[str]:
        open_ = set().union(*(request.open for request in self._requests)) if self._requests else set()
        done = self._active | self._settled | open_
        return [channel for channel in self._wanted if channel not in done]

    def _settle(self, channels: Collection[str]) -> None:
        self._settled.update(channel for channel in channels if channel in self._wanted)
        for request in self._requests:
            request.open.difference_update(channels)
        self._requests = [request for request in self._requests if request.open]

    def _forget(self, channels: Sequence[str]) -> None:
        self._active.difference_update(channels)
        self._settled.difference_update(channels)
        for channel in channels:
            self._attempts.pop(channel, None)
        for request in self._requests:
            request.open.difference_update(channels)
        self._requests = [request for request in self._requests if request.open]
