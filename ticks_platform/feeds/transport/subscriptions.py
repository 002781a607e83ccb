"""Subscriptions as desired state: channels that are desired, requested and acknowledged. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence

from ticks_platform.feeds.connector import Conversation
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, NotEntitled, Notice, Unsubscribed

ACKNOWLEDGE_TIMEOUT = 10.0
"""Seconds after which a channel that was neither acknowledged nor refused is requested again."""

ATTEMPTS = 3
"""Requests for a channel before it is reported as unanswered."""

_MINUTE = 60.0


class RateLimit:
    """The provider's limit of messages from one connection in any 60 seconds."""

    def __init__(self, messages_per_minute: int | None) -> None:
        self._limit = messages_per_minute
        self._sent: deque[float] = deque()

    def room(self, now: float) -> int:
        """Messages that may be sent now."""
        if self._limit is None:
            return 1_000_000
        while self._sent and now - self._sent[0] >= _MINUTE:
            self._sent.popleft()
        return self._limit - len(self._sent)

    def sent(self, now: float) -> None:
        """Count a message that was sent."""
        if self._limit is not None:
            self._sent.append(now)


class _Request:
    """Channels that were requested together."""

    def __init__(self, channels: Iterable[str], at: float) -> None:
        self.unanswered = set(channels)
        self.at = at
        self.refusal: str | None = None


class Subscriptions:
    """The subscriptions of one connection. Times are seconds of a monotonic clock, given by the caller."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._desired: dict[str, None] = {}
        self._attempts: dict[str, int] = {}
        self._requests: list[_Request] = []
        self._acknowledged: set[str] = set()
        self._settled: set[str] = set()
        self._to_resubscribe: dict[str, None] = {}
        self._changed = False
        """Whether `due_messages` may return any; it is called ten times a second, for thousands of channels."""

    @property
    def acknowledged(self) -> frozenset[str]:
        """Channels that the provider has acknowledged."""
        return frozenset(self._acknowledged)

    @property
    def settled(self) -> bool:
        """Whether every desired channel is acknowledged, refused or given up."""
        return not self._requests and not self._unrequested()

    def set_desired(self, channels: Iterable[str]) -> None:
        """Subscribe to these channels, and to no others."""
        self._desired = dict.fromkeys(channels)
        self._changed = True

    def resubscribe(self, channels: Iterable[str]) -> None:
        """Unsubscribe from these channels and subscribe again, with the next `due_messages`."""
        self._to_resubscribe.update(dict.fromkeys(channel for channel in channels if channel in self._desired))
        self._changed = True

    def due_messages(self, now: float, *, room: int) -> list[str]:
        """The messages to send now, if there is `room`. They count as sent."""
        messages: list[str] = []
        if not self._changed or room <= 0:
            return messages
        undesired = [channel for channel in self._known() if channel not in self._desired]
        ended = [*undesired, *(channel for channel in self._to_resubscribe if channel in self._acknowledged)]
        if ended:
            messages += self._conversation.unsubscribe(ended)
            self._forget(ended)
        self._to_resubscribe.clear()
        missing = self._unrequested()
        if missing and len(messages) >= room:
            return messages
        if missing:
            messages += self._conversation.subscribe(missing)
            for channel in missing:
                self._attempts[channel] = self._attempts.get(channel, 0) + 1
            self._requests.append(_Request(missing, now))
        self._changed = False
        return messages

    def handle_answer(self, notice: Notice) -> None:
        """Handle a notice of the provider about channels."""
        if isinstance(notice, Acknowledged):
            self._acknowledged.update(channel for channel in notice.channels if channel in self._desired)
            self._settle(notice.channels)
        elif isinstance(notice, ChannelsFailed):
            self._acknowledged.difference_update(notice.reasons)
            self._settle(notice.reasons)
        elif isinstance(notice, Unsubscribed):
            self._acknowledged.difference_update(set(notice.channels) - self._desired.keys())
        elif isinstance(notice, NotEntitled) and self._requests:
            self._requests[0].refusal = notice.reason

    def expire(self, now: float) -> ChannelsFailed | None:
        """The channels of expired requests that failed: unanswered after ATTEMPTS, or refused without being named.

        The others are requested again with the next `due_messages`.
        """
        reasons: dict[str, str] = {}
        while self._requests and now - self._requests[0].at >= ACKNOWLEDGE_TIMEOUT:
            request = self._requests.pop(0)
            self._changed = True
            for channel in sorted(request.unanswered):
                if request.refusal is not None:
                    reasons[channel] = f"{request.refusal} (the provider does not name the channel)"
                elif self._attempts.get(channel, 0) >= ATTEMPTS:
                    reasons[channel] = f"not acknowledged within {ACKNOWLEDGE_TIMEOUT:g} s, requested {ATTEMPTS} times"
            self._settled.update(channel for channel in request.unanswered if channel in reasons)
        return ChannelsFailed(reasons) if reasons else None

    def next_deadline(self) -> float:
        """When the oldest request expires."""
        return self._requests[0].at + ACKNOWLEDGE_TIMEOUT if self._requests else float("inf")

    def _known(self) -> Sequence[str]:
        requested = [channel for request in self._requests for channel in sorted(request.unanswered)]
        return [*sorted(self._acknowledged), *requested, *sorted(self._settled - self._acknowledged)]

    def _unrequested(self) -> list[str]:
        unanswered = set().union(*(request.unanswered for request in self._requests)) if self._requests else set()
        done = self._acknowledged | self._settled | unanswered
        return [channel for channel in self._desired if channel not in done]

    def _settle(self, channels: Collection[str]) -> None:
        self._settled.update(channel for channel in channels if channel in self._desired)
        for request in self._requests:
            request.unanswered.difference_update(channels)
        self._requests = [request for request in self._requests if request.unanswered]

    def _forget(self, channels: Sequence[str]) -> None:
        self._acknowledged.difference_update(channels)
        self._settled.difference_update(channels)
        for channel in channels:
            self._attempts.pop(channel, None)
        for request in self._requests:
            request.unanswered.difference_update(channels)
        self._requests = [request for request in self._requests if request.unanswered]
