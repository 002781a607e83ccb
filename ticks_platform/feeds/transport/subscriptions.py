"""Subscriptions as desired state: channels that are desired, requested and acknowledged. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from ticks_platform.feeds import complaints
from ticks_platform.feeds.connector import Conversation
from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    NotEntitled,
    Notice,
    ProviderError,
    RequestRefused,
    Unsubscribed,
)

ACKNOWLEDGE_TIMEOUT = 10.0
"""Seconds after which a channel that was neither acknowledged nor refused is requested again."""

ATTEMPTS = 3
"""Requests for a channel before it is reported as unanswered."""

REFUSAL_GRACE = 1.0
"""Seconds without an answer after which the unanswered channels of a request of several messages are those that one of
its messages was refused with."""

REFUSED_AGAIN, REFUSED_AGAIN_CAP = 30.0, 900.0
"""Seconds after which channels that a limit refused are requested again, and twice as many each time, at most the cap.
A provider that still counts the connection before this one refuses what it accepts a moment later."""

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

    def __init__(self, channels: Sequence[str], at: float, *, messages: int, is_part: bool) -> None:
        """`messages` is their number; `is_part` tells whether the channels are half of a refused request."""
        self.channels = channels
        self.unanswered = set(channels)
        self.at = at
        self.is_part = is_part
        self.refusal: str | None = None
        self.complaint: str | None = None
        self.refused: RequestRefused | None = None
        self.messages_left = messages
        """Messages that may still be answered by something else than a refusal."""
        self.quiet_since: float | None = None
        """When `expire` saw the latest answer."""


class _Half(NamedTuple):
    """Channels that are to be requested by themselves, after the request that they were part of was refused."""

    channels: Sequence[str]
    refused: RequestRefused


class Subscriptions:
    """The subscriptions of one connection. Times are seconds of a monotonic clock, given by the caller."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._desired: dict[str, None] = {}
        self._attempts: dict[str, int] = {}
        self._requests: list[_Request] = []
        self._halves: deque[_Half] = deque()
        self._failed: dict[str, str] = {}
        """Channels that failed since the last `expire`, with the reason of each."""
        self._acknowledged: set[str] = set()
        self._settled: set[str] = set()
        self._over_limit: dict[str, float | None] = {}
        """Settled channels that a limit refused, with when they are requested again; None until the next `expire`."""
        self._refused_again = REFUSED_AGAIN
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
        return not self._requests and not self._halves and not self._unrequested()

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
            messages += self._request(missing, now)
        elif self._halves and not self._requests and len(messages) < room:
            # One after the other: only the oldest request can be told to be refused.
            channels = self._next_half()
            messages += self._request(channels, now, is_part=True) if channels else []
        self._changed = bool(self._halves)
        return messages

    def _request(self, channels: Sequence[str], now: float, *, is_part: bool = False) -> Sequence[str]:
        messages = self._conversation.subscribe(channels)
        for channel in channels:
            self._attempts[channel] = self._attempts.get(channel, 0) + 1
        self._requests.append(_Request(channels, now, messages=len(messages), is_part=is_part))
        return messages

    def _next_half(self) -> Sequence[str]:
        """Take the next half that still has desired channels."""
        while self._halves:
            half = self._halves.popleft()
            channels = [name for name in half.channels if name in self._desired and name not in self._settled]
            if channels:
                return channels
        return ()

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
        elif isinstance(notice, ProviderError) and self._requests:
            self._requests[0].complaint = notice.message
        elif isinstance(notice, RequestRefused) and self._requests:
            request = self._requests[0]
            request.refused, request.quiet_since = notice, None
            request.messages_left -= 1
            if request.messages_left <= 0:
                self._halve(request, notice)

    def _halve(self, request: _Request, refused: RequestRefused) -> None:
        """Have the unanswered channels of a refused request requested in halves; a single one has failed."""
        self._requests.remove(request)
        self._changed = True
        channels = [channel for channel in request.channels if channel in request.unanswered]
        for channel in channels:
            self._attempts.pop(channel, None)
        if len(channels) > 1:
            middle = (len(channels) + 1) // 2
            self._halves.extendleft((_Half(channels[middle:], refused), _Half(channels[:middle], refused)))
            return
        self._fail(channels, refused.reason, is_limit=refused.is_limit)
        if refused.is_limit:
            # What does not fit alone does not fit with others.
            over = [half for half in self._halves if half.refused.is_limit]
            self._halves = deque(half for half in self._halves if not half.refused.is_limit)
            for half in over:
                self._fail(half.channels, refused.reason, is_limit=True)

    def _fail(self, channels: Iterable[str], reason: str, *, is_limit: bool = False) -> None:
        failed = [channel for channel in channels if channel in self._desired]
        self._failed.update(dict.fromkeys(failed, reason))
        self._settled.update(failed)
        if is_limit:
            self._over_limit.update(dict.fromkeys(failed))

    def expire(self, now: float) -> ChannelsFailed | None:
        """The channels that failed since the last call: refused, or unanswered after ATTEMPTS.

        Other channels of expired requests are requested again with the next `due_messages`.
        """
        request = self._requests[0] if self._requests else None
        if request is not None and request.refused is not None:
            if request.quiet_since is None:
                request.quiet_since = now
            elif now - request.quiet_since >= REFUSAL_GRACE:
                self._halve(request, request.refused)
        while self._requests and now - self._requests[0].at >= ACKNOWLEDGE_TIMEOUT:
            self._expire(self._requests[0])
        failed, self._failed = self._failed, {}
        self._request_again(now)
        return ChannelsFailed(failed) if failed else None

    def _request_again(self, now: float) -> None:
        """Let the channels that a limit refused some time ago be requested with the next `due_messages`."""
        new = [channel for channel, at in self._over_limit.items() if at is None]
        if new:
            self._over_limit.update(dict.fromkeys(new, now + self._refused_again))
            self._refused_again = min(2 * self._refused_again, REFUSED_AGAIN_CAP)
        due = [channel for channel, at in self._over_limit.items() if at is not None and now >= at]
        for channel in due:
            del self._over_limit[channel]
            self._settled.discard(channel)
            self._attempts.pop(channel, None)
        self._changed = self._changed or bool(due)

    def _expire(self, request: _Request) -> None:
        refused, complaint = request.refused, request.complaint
        if refused is None and complaint is not None and not complaints.passes(complaint):
            # An error that names no symbol is likely to be the answer, if there is no other.
            is_last = all(self._attempts.get(channel, 0) >= ATTEMPTS for channel in request.unanswered)
            if len(request.unanswered) > 1 or request.is_part or is_last:
                refused = RequestRefused(complaint)
        if refused is not None and request.refusal is None:
            self._halve(request, refused)
            return
        self._requests.remove(request)
        self._changed = True
        because = f"; the provider said: {complaint}" if complaint else ""
        for channel in sorted(request.unanswered):
            if request.refusal is not None:
                self._fail([channel], f"{request.refusal} (the provider does not name the channel)")
            elif self._attempts.get(channel, 0) >= ATTEMPTS:
                self._fail(
                    [channel], f"not acknowledged within {ACKNOWLEDGE_TIMEOUT:g} s, requested {ATTEMPTS} times{because}"
                )

    def next_deadline(self) -> float:
        """When the oldest request expires."""
        return self._requests[0].at + ACKNOWLEDGE_TIMEOUT if self._requests else float("inf")

    def _known(self) -> Sequence[str]:
        requested = [channel for request in self._requests for channel in sorted(request.unanswered)]
        return [*sorted(self._acknowledged), *requested, *sorted(self._settled - self._acknowledged)]

    def _unrequested(self) -> list[str]:
        unanswered = set().union(*(request.unanswered for request in self._requests)) if self._requests else set()
        done = self._acknowledged | self._settled | unanswered
        if self._halves:
            done = done.union(*(half.channels for half in self._halves))
        return [channel for channel in self._desired if channel not in done]

    def _settle(self, channels: Collection[str]) -> None:
        self._settled.update(channel for channel in channels if channel in self._desired)
        for channel in channels:
            self._over_limit.pop(channel, None)
        for request in self._requests:
            request.quiet_since = None
            request.unanswered.difference_update(channels)
        self._requests = [request for request in self._requests if request.unanswered]

    def _forget(self, channels: Sequence[str]) -> None:
        self._acknowledged.difference_update(channels)
        self._settled.difference_update(channels)
        for channel in channels:
            self._attempts.pop(channel, None)
            self._over_limit.pop(channel, None)
        for request in self._requests:
            request.unanswered.difference_update(channels)
        self._requests = [request for request in self._requests if request.unanswered]
