"""Whatever a provider answers, in any order: the connection's state follows, and nothing raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticks_platform.feeds.connector import HandshakeAnswer
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, Notice, Unsubscribed
from ticks_platform.feeds.transport.subscriptions import ACKNOWLEDGE_TIMEOUT, Subscriptions
from ticks_platform_tests.support.any_frames import PROVIDERS, QUICK, THOROUGH, Provider, answers, frames

Step = tuple[str, object]
SYMBOLS = ("AAPL", "MSFT", "BTC-USD", "RY:TSX", "USD/CNH")


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Provider, list[Step]]:
    """A provider, and what happens on one connection."""
    provider = PROVIDERS[draw(st.sampled_from(sorted(PROVIDERS)))]
    step = st.one_of(
        st.tuples(st.just("frame"), st.one_of(answers(provider), answers(provider), frames(provider))),
        st.tuples(st.just("symbols"), st.lists(st.sampled_from(SYMBOLS), unique=True)),
        st.tuples(st.just("resubscribe"), st.sampled_from(SYMBOLS)),
        st.tuples(st.just("later"), st.sampled_from((0.1, 1.5, ACKNOWLEDGE_TIMEOUT))),
        st.tuples(st.just("handshake"), st.tuples(st.sampled_from((200, 401, 403, 429, 503)), answers(provider))),
    )
    return provider, draw(st.lists(step, max_size=14))


def check(talk: tuple[Provider, list[Step]]) -> None:
    provider, steps = talk
    connector = provider.connector
    conversation = connector.converse()
    conversation.opening()
    subscriptions = Subscriptions(conversation)
    subscriptions.set_desired(["AAPL", *connector.channels("MSFT")])
    now = 0.0
    failed: dict[str, str] = {}
    for what, value in steps:
        if what == "frame":
            assert isinstance(value, bytes)
            has_data, notices, replies = conversation.receive(value)
            assert isinstance(has_data, bool)
            assert all(isinstance(reply, str) for reply in replies)
            for notice in notices:
                names_are_text(notice)
                subscriptions.handle_answer(notice)
        elif what == "symbols":
            assert isinstance(value, list)
            subscriptions.set_desired(channel for symbol in value for channel in connector.channels(symbol))
        elif what == "resubscribe":
            assert isinstance(value, str)
            subscriptions.resubscribe(connector.channels(value))
        elif what == "handshake":
            assert isinstance(value, tuple)
            reason = connector.refusal(HandshakeAnswer(*value))
            assert reason is None or isinstance(reason, str)
        else:
            assert isinstance(value, float)
            now += value
        failed |= expired.reasons if (expired := subscriptions.expire(now)) else {}
        assert all(isinstance(message, str) for message in subscriptions.due_messages(now, room=100))
    # It ends: each channel is acknowledged, or has failed with a reason, whatever was answered.
    for _ in range(200):
        if subscriptions.settled:
            break
        now += ACKNOWLEDGE_TIMEOUT
        subscriptions.expire(now)
        subscriptions.due_messages(now, room=100)
    assert subscriptions.settled
    assert all(failed.values())


def names_are_text(notice: Notice) -> None:
    """Channels are names, and reasons are text: both are stored."""
    if isinstance(notice, Acknowledged | Unsubscribed):
        assert all(isinstance(channel, str) and channel for channel in notice.channels)
    elif isinstance(notice, ChannelsFailed):
        assert all(isinstance(word, str) and word for pair in notice.reasons.items() for word in pair)


@QUICK
@given(talk=conversations())
def test_any_answer_in_any_order(talk: tuple[Provider, list[Step]]) -> None:
    check(talk)


@pytest.mark.full
@THOROUGH
@given(talk=conversations())
def test_many_more_answers_in_any_order(talk: tuple[Provider, list[Step]]) -> None:
    check(talk)
