"""Subscriptions as desired state; without sockets and with simulated time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from ticks_platform.feeds.connector import Conversation, Reaction
from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    NotEntitled,
    Notice,
    ProviderError,
    RequestRefused,
    Unsubscribed,
)
from ticks_platform.feeds.transport.subscriptions import (
    ACKNOWLEDGE_TIMEOUT,
    ATTEMPTS,
    REFUSAL_GRACE,
    REFUSED_AGAIN,
    RateLimit,
    Subscriptions,
)

ROOM = 1_000
LATER = ACKNOWLEDGE_TIMEOUT


class Plainly(Conversation):
    """Subscribes with `+A,B` and unsubscribes with `-A,B`, at most three channels per message."""

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return self._parts("+", channels)

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return self._parts("-", channels)

    def receive(self, frame: bytes) -> Reaction:
        return Reaction()

    def _parts(self, sign: str, channels: Sequence[str]) -> list[str]:
        return [sign + ",".join(channels[begin : begin + 3]) for begin in range(0, len(channels), 3)]


@pytest.fixture
def subscriptions() -> Subscriptions:
    return Subscriptions(Plainly())


def asked(subscriptions: Subscriptions, *channels: str, at: float = 0.0) -> Subscriptions:
    """Request these channels."""
    subscriptions.set_desired(channels)
    assert subscriptions.due_messages(at, room=ROOM)
    return subscriptions


def streaming(subscriptions: Subscriptions, *channels: str) -> Subscriptions:
    """Request these channels, and acknowledge them."""
    asked(subscriptions, *channels).handle_answer(Acknowledged(channels))
    assert subscriptions.settled
    return subscriptions


def test_no_desired_channels(subscriptions: Subscriptions) -> None:
    assert subscriptions.due_messages(0.0, room=ROOM) == []
    subscriptions.set_desired([])
    assert subscriptions.due_messages(0.0, room=ROOM) == []
    assert subscriptions.settled
    assert subscriptions.expire(1e9) is None
    assert subscriptions.next_deadline() == float("inf")


def test_requested_once(subscriptions: Subscriptions) -> None:
    subscriptions.set_desired(["B", "A", "C", "D"])
    assert not subscriptions.settled
    # In the order of feeds.yaml.
    assert subscriptions.due_messages(0.0, room=ROOM) == ["+B,A,C", "+D"]
    assert subscriptions.due_messages(5.0, room=ROOM) == []
    assert subscriptions.next_deadline() == LATER
    assert subscriptions.acknowledged == frozenset()
    subscriptions.handle_answer(Acknowledged(("A", "B")))
    subscriptions.handle_answer(Acknowledged(("C",)))
    assert subscriptions.acknowledged == {"A", "B", "C"}
    assert not subscriptions.settled
    subscriptions.handle_answer(Acknowledged(("D",)))
    assert subscriptions.settled
    assert subscriptions.next_deadline() == float("inf")
    assert subscriptions.expire(1e9) is None
    assert subscriptions.due_messages(1e9, room=ROOM) == []


def test_unanswered_channels_are_requested_again(subscriptions: Subscriptions) -> None:
    asked(subscriptions, "A", "B", "C").handle_answer(Acknowledged(("B",)))
    assert subscriptions.expire(LATER - 0.1) is None
    assert subscriptions.due_messages(LATER - 0.1, room=ROOM) == []
    assert subscriptions.expire(LATER) is None
    assert not subscriptions.settled
    assert subscriptions.due_messages(LATER, room=ROOM) == ["+A,C"]
    subscriptions.handle_answer(Acknowledged(("A",)))
    assert subscriptions.expire(2 * LATER) is None
    assert subscriptions.due_messages(2 * LATER, room=ROOM) == ["+C"]


def test_given_up_and_reported_once(subscriptions: Subscriptions) -> None:
    subscriptions.set_desired(["A", "B"])
    for attempt in range(ATTEMPTS):
        assert subscriptions.expire(attempt * LATER) is None
        assert subscriptions.due_messages(attempt * LATER, room=ROOM) == ["+A,B" if attempt == 0 else "+B"]
        subscriptions.handle_answer(Acknowledged(("A",)))
    failed = subscriptions.expire(ATTEMPTS * LATER)
    assert failed == ChannelsFailed({"B": f"not acknowledged within {LATER:g} s, requested {ATTEMPTS} times"})
    assert subscriptions.settled
    for later in range(ATTEMPTS, ATTEMPTS + 5):
        assert subscriptions.expire(later * LATER) is None
        assert subscriptions.due_messages(later * LATER, room=ROOM) == []
    assert subscriptions.acknowledged == {"A"}
    # A late acknowledgement counts all the same.
    subscriptions.handle_answer(Acknowledged(("B",)))
    assert subscriptions.acknowledged == {"A", "B"}


def test_refused_channels_are_not_requested_again(subscriptions: Subscriptions) -> None:
    asked(subscriptions, "A", "NOPE").handle_answer(ChannelsFailed({"NOPE": "unknown"}))
    subscriptions.handle_answer(Acknowledged(("A",)))
    assert subscriptions.settled
    assert subscriptions.expire(1e9) is None
    subscriptions.resubscribe(["NOPE"])
    assert subscriptions.due_messages(1e9, room=ROOM) == []
    subscriptions.set_desired(["NOPE", "A"])
    assert subscriptions.due_messages(1e9, room=ROOM) == []
    # Removing a symbol from feeds.yaml and adding it again requests it again.
    subscriptions.set_desired(["A"])
    subscriptions.due_messages(1e9, room=ROOM)
    subscriptions.set_desired(["A", "NOPE"])
    assert subscriptions.due_messages(1e9, room=ROOM) == ["+NOPE"]


def test_a_channel_that_fails_later(subscriptions: Subscriptions) -> None:
    streaming(subscriptions, "A", "B").handle_answer(ChannelsFailed({"A": "the plan has ended"}))
    assert subscriptions.acknowledged == {"B"}
    assert subscriptions.due_messages(1.0, room=ROOM) == []


def test_a_refusal_is_of_the_oldest_request(subscriptions: Subscriptions) -> None:
    asked(subscriptions, "A", "B", "C")
    subscriptions.set_desired(["A", "B", "C", "D"])
    assert subscriptions.due_messages(1.0, room=ROOM) == ["+D"]
    subscriptions.handle_answer(NotEntitled("not in your plan"))
    subscriptions.handle_answer(Acknowledged(("B",)))
    failed = subscriptions.expire(LATER)
    assert failed is not None
    assert failed.reasons.keys() == {"A", "C"}
    assert all(reason.startswith("not in your plan (") for reason in failed.reasons.values())
    # These are refused for good, the other one is requested again.
    assert subscriptions.due_messages(LATER, room=ROOM) == []
    assert subscriptions.expire(LATER + 1.0) is None
    assert subscriptions.due_messages(LATER + 1.0, room=ROOM) == ["+D"]


def test_a_refusal_after_all_answers_of_the_oldest(subscriptions: Subscriptions) -> None:
    asked(subscriptions, "A")
    subscriptions.set_desired(["A", "B"])
    subscriptions.due_messages(1.0, room=ROOM)
    subscriptions.handle_answer(Acknowledged(("A",)))
    subscriptions.handle_answer(NotEntitled("not in your plan"))
    failed = subscriptions.expire(LATER + 1.0)
    assert failed is not None
    assert failed.reasons.keys() == {"B"}


def test_a_refusal_of_nothing(subscriptions: Subscriptions) -> None:
    streaming(subscriptions, "A").handle_answer(NotEntitled("not in your plan"))
    subscriptions.handle_answer(ProviderError("slow_consumer"))
    assert subscriptions.acknowledged == {"A"}
    assert subscriptions.expire(1e9) is None


def test_changes_do_not_affect_other_channels(subscriptions: Subscriptions) -> None:
    streaming(subscriptions, "A", "B", "C")
    subscriptions.set_desired(["B", "C", "D"])
    assert subscriptions.due_messages(1.0, room=ROOM) == ["-A", "+D"]
    subscriptions.handle_answer(Unsubscribed(("A",)))
    subscriptions.handle_answer(Acknowledged(("D",)))
    assert subscriptions.acknowledged == {"B", "C", "D"}
    subscriptions.set_desired(["D", "C", "B"])
    assert subscriptions.due_messages(2.0, room=ROOM) == []
    subscriptions.set_desired([])
    assert subscriptions.due_messages(3.0, room=ROOM) == ["-B,C,D"]
    assert subscriptions.settled
    subscriptions.set_desired(["B"])
    assert subscriptions.due_messages(4.0, room=ROOM) == ["+B"]


def test_removed_before_the_answer(subscriptions: Subscriptions) -> None:
    asked(subscriptions, "A", "B")
    subscriptions.set_desired(["B"])
    assert subscriptions.due_messages(1.0, room=ROOM) == ["-A"]
    subscriptions.handle_answer(Acknowledged(("A", "B")))
    assert subscriptions.acknowledged == {"B"}
    assert subscriptions.settled
    assert subscriptions.expire(1e9) is None


def test_removed_before_the_request(subscriptions: Subscriptions) -> None:
    subscriptions.set_desired(["A", "B"])
    subscriptions.set_desired(["B"])
    assert subscriptions.due_messages(0.0, room=ROOM) == ["+B"]


def test_added_again_while_unsubscribing(subscriptions: Subscriptions) -> None:
    streaming(subscriptions, "A")
    subscriptions.set_desired([])
    assert subscriptions.due_messages(1.0, room=ROOM) == ["-A"]
    subscriptions.set_desired(["A"])
    assert subscriptions.due_messages(1.1, room=ROOM) == ["+A"]
    subscriptions.handle_answer(Unsubscribed(("A",)))
    subscriptions.handle_answer(Acknowledged(("A",)))
    assert subscriptions.acknowledged == {"A"}


def test_resubscribe(subscriptions: Subscriptions) -> None:
    streaming(subscriptions, "A", "B")
    subscriptions.resubscribe(["A", "not ours"])
    assert subscriptions.due_messages(1.0, room=ROOM) == ["-A", "+A"]
    assert subscriptions.acknowledged == {"B"}
    assert subscriptions.due_messages(1.0, room=ROOM) == []
    subscriptions.handle_answer(Unsubscribed(("A",)))
    subscriptions.handle_answer(Acknowledged(("A",)))
    assert subscriptions.acknowledged == {"A", "B"}


def test_resubscribe_has_all_attempts(subscriptions: Subscriptions) -> None:
    streaming(subscriptions, "A").resubscribe(["A"])
    for attempt in range(ATTEMPTS):
        assert subscriptions.expire(attempt * LATER) is None
        assert subscriptions.due_messages(attempt * LATER, room=ROOM)[-1] == "+A"
    assert subscriptions.expire(ATTEMPTS * LATER) is not None


def test_without_room_nothing_is_sent_or_forgotten(subscriptions: Subscriptions) -> None:
    streaming(subscriptions, "A", "B", "C")
    subscriptions.set_desired(["A", "B", "D"])
    subscriptions.resubscribe(["A"])
    assert subscriptions.due_messages(1.0, room=0) == []
    assert subscriptions.acknowledged == {"A", "B", "C"}
    # One message, then the other.
    assert subscriptions.due_messages(2.0, room=1) == ["-C,A"]
    assert subscriptions.due_messages(3.0, room=0) == []
    assert subscriptions.due_messages(4.0, room=1) == ["+A,D"]
    assert subscriptions.next_deadline() == 4.0 + LATER
    assert subscriptions.due_messages(5.0, room=ROOM) == []


def test_rate_limit() -> None:
    limit = RateLimit(100)
    for number in range(100):
        assert limit.room(number * 0.1) == 100 - number
        limit.sent(number * 0.1)
    assert limit.room(10.0) == 0
    assert limit.room(59.9) == 0
    assert limit.room(60.0) == 1
    assert limit.room(60.95) == 10
    limit.sent(60.95)
    assert limit.room(60.95) == 9
    assert limit.room(1_000.0) == 100


def test_no_rate_limit() -> None:
    limit = RateLimit(None)
    for number in range(1_000):
        limit.sent(float(number))
    assert limit.room(1_000.0) > 1_000


def test_changes_beyond_the_rate_limit_wait(subscriptions: Subscriptions) -> None:
    limit, sent, channels = RateLimit(100), [], []
    for number in range(150):
        channels.append(f"S{number}")
        subscriptions.set_desired(channels)
        messages = subscriptions.due_messages(number * 0.01, room=limit.room(number * 0.01))
        subscriptions.handle_answer(Acknowledged(tuple(name for each in messages for name in each[1:].split(","))))
        for _ in messages:
            limit.sent(number * 0.01)
        sent += messages
    assert len(sent) == 100
    assert subscriptions.due_messages(59.0, room=limit.room(59.0)) == []
    # All waiting channels at once.
    rest = subscriptions.due_messages(62.0, room=limit.room(62.0))
    assert ",".join(message[1:] for message in rest).split(",") == channels[100:]


class AtOnce(Conversation):
    """Subscribes with all channels in one message."""

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return [",".join(channels)]

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return []

    def receive(self, frame: bytes) -> Reaction:
        return Reaction()


def negotiate(
    subscriptions: Subscriptions, accepts: Callable[[set[str], list[str]], bool], refused: Notice
) -> tuple[set[str], dict[str, str], int]:
    """Let a provider that refuses whole messages answer until all is settled: channels, failures, messages."""
    streamed: set[str] = set()
    failed: dict[str, str] = {}
    messages = 0
    now = 0.0
    while not subscriptions.settled:
        for message in subscriptions.due_messages(now, room=ROOM):
            messages += 1
            channels = message.split(",")
            if accepts(streamed, channels):
                streamed.update(channels)
                subscriptions.handle_answer(Acknowledged(tuple(channels)))
            else:
                subscriptions.handle_answer(refused)
        now += 0.1 if isinstance(refused, RequestRefused) else LATER
        now_failed = subscriptions.expire(now)
        failed.update(now_failed.reasons if now_failed else {})
        assert now < 1e6
    return streamed, failed, messages


@pytest.mark.parametrize("limit", [0, 1, 500, 999, 1_199, 1_200])
def test_a_plans_limit_is_found_by_halves(limit: int) -> None:
    subscriptions = Subscriptions(AtOnce())
    names = [f"S{number}" for number in range(1_200)]
    subscriptions.set_desired(names)
    reason = "Subscription limit reached"
    streamed, failed, messages = negotiate(
        subscriptions,
        lambda held, more: len(held) + len(more) <= limit,
        RequestRefused(reason, is_limit=True),
    )
    assert streamed == subscriptions.acknowledged == set(names[:limit])
    assert failed == dict.fromkeys(names[limit:], reason)
    assert messages <= 25
    # They are not requested again on this connection, and others are.
    subscriptions.set_desired([*names, "NEW"])
    assert subscriptions.due_messages(1e6, room=ROOM) == ["NEW"]


def test_those_that_a_provider_refuses_whole_messages_for_are_found() -> None:
    subscriptions = Subscriptions(AtOnce())
    names = [f"S{number}" for number in range(300)]
    bad = {names[0], names[77], names[78], names[299]}
    subscriptions.set_desired(names)
    streamed, failed, messages = negotiate(
        subscriptions, lambda _held, more: bad.isdisjoint(more), RequestRefused("not authorized to access XHKG data")
    )
    assert streamed == set(names) - bad
    assert failed == dict.fromkeys(bad, "not authorized to access XHKG data")
    assert messages < 80


def test_an_error_that_names_nothing_is_the_reason_of_what_stays_unanswered() -> None:
    subscriptions = Subscriptions(AtOnce())
    subscriptions.set_desired(["A", "B", "C", "D"])
    streamed, failed, _ = negotiate(
        subscriptions, lambda _held, more: "C" not in more, ProviderError("this is not for you")
    )
    assert streamed == {"A", "B", "D"}
    assert failed == {"C": "this is not for you"}


def test_a_limit_of_messages_halves_nothing() -> None:
    subscriptions = Subscriptions(AtOnce())
    subscriptions.set_desired(["A", "B"])
    for attempt in range(ATTEMPTS):
        assert subscriptions.due_messages(attempt * LATER, room=ROOM) == ["A,B"]
        subscriptions.handle_answer(ProviderError("You have sent too many events. Wait for the next minute."))
        assert (subscriptions.expire((attempt + 1) * LATER) is None) is (attempt < ATTEMPTS - 1)


def test_one_of_several_messages_is_refused(subscriptions: Subscriptions) -> None:
    names = [f"S{number}" for number in range(5)]
    subscriptions.set_desired(names)
    assert subscriptions.due_messages(0.0, room=ROOM) == ["+S0,S1,S2", "+S3,S4"]
    subscriptions.handle_answer(RequestRefused("limit reached", is_limit=True))
    subscriptions.handle_answer(Acknowledged(("S0", "S1")))
    assert subscriptions.expire(0.1) is None
    # Which message was refused is known once no more answers come.
    subscriptions.handle_answer(Acknowledged(("S2",)))
    assert subscriptions.expire(0.9) is None
    assert subscriptions.due_messages(1.0, room=ROOM) == []
    assert subscriptions.expire(1.0 + REFUSAL_GRACE) is None
    assert subscriptions.due_messages(2.0, room=ROOM) == ["+S3"]
    subscriptions.handle_answer(Acknowledged(("S3",)))
    assert subscriptions.due_messages(2.1, room=ROOM) == ["+S4"]
    subscriptions.handle_answer(RequestRefused("limit reached", is_limit=True))
    assert subscriptions.expire(2.2) == ChannelsFailed({"S4": "limit reached"})
    assert subscriptions.settled


def test_halves_wait_for_room_and_forget_what_is_not_desired_any_more() -> None:
    subscriptions = Subscriptions(AtOnce())
    subscriptions.set_desired(["A", "B", "C", "D"])
    assert subscriptions.due_messages(0.0, room=1) == ["A,B,C,D"]
    subscriptions.handle_answer(RequestRefused("no", is_limit=True))
    assert subscriptions.due_messages(0.1, room=0) == []
    subscriptions.set_desired(["B", "C", "D"])
    assert subscriptions.due_messages(0.2, room=1) == ["B"]
    subscriptions.handle_answer(Acknowledged(("B",)))
    assert subscriptions.due_messages(0.3, room=1) == ["C,D"]


def test_what_a_limit_refused_is_requested_again_later_and_later(subscriptions: Subscriptions) -> None:
    """As when the provider still counts the connection before: the next moment it accepts them."""
    asked(subscriptions, "A", "B")
    subscriptions.handle_answer(RequestRefused("limit reached", is_limit=True))
    assert subscriptions.due_messages(0.0, room=ROOM) == ["+A"]
    subscriptions.handle_answer(RequestRefused("limit reached", is_limit=True))
    assert subscriptions.expire(0.0) == ChannelsFailed({"A": "limit reached", "B": "limit reached"})
    subscriptions.expire(REFUSED_AGAIN - 1)
    assert subscriptions.due_messages(REFUSED_AGAIN - 1, room=ROOM) == []
    subscriptions.expire(REFUSED_AGAIN)
    assert subscriptions.due_messages(REFUSED_AGAIN, room=ROOM) == ["+A,B"]
    subscriptions.handle_answer(Acknowledged(("A",)))
    subscriptions.handle_answer(RequestRefused("limit reached", is_limit=True))
    assert subscriptions.expire(REFUSED_AGAIN) == ChannelsFailed({"B": "limit reached"})
    second = REFUSED_AGAIN + 2 * REFUSED_AGAIN
    subscriptions.expire(second - 1)
    assert subscriptions.due_messages(second - 1, room=ROOM) == []
    subscriptions.expire(second)
    assert subscriptions.due_messages(second, room=ROOM) == ["+B"]
    subscriptions.set_desired(["A"])
    assert subscriptions.due_messages(second, room=ROOM) == ["-B"]
    subscriptions.expire(100 * second)
    assert subscriptions.due_messages(100 * second, room=ROOM) == []


def test_a_symbol_that_is_refused_for_itself_is_not_requested_again(subscriptions: Subscriptions) -> None:
    asked(subscriptions, "A")
    subscriptions.handle_answer(RequestRefused("no such symbol"))
    assert subscriptions.expire(0.0) == ChannelsFailed({"A": "no such symbol"})
    subscriptions.expire(100 * REFUSED_AGAIN)
    assert subscriptions.due_messages(100 * REFUSED_AGAIN, room=ROOM) == []
