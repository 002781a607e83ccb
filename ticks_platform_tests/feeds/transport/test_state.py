"""The states of a connection: which may follow which, and the text of each notice."""

from __future__ import annotations

from typing import get_args

import pytest

from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    ChannelsFailed,
    ClockDoubt,
    HeardAgain,
    NotEntitled,
    Notice,
    ProviderError,
    Refused,
    RequestRefused,
    Silent,
    TryLater,
    Unsubscribed,
)
from ticks_platform.feeds.transport.state import TRANSITIONS, State, check_transition, describe


def test_transitions() -> None:
    assert TRANSITIONS.keys() == set(State)
    for before, allowed in TRANSITIONS.items():
        for after in State:
            if after in allowed:
                check_transition(before, after)
            else:
                with pytest.raises(AssertionError, match=rf"from {before.value} to {after.value}"):
                    check_transition(before, after)


def test_every_state_is_reached_and_left() -> None:
    reached, new = {State.CLOSED}, {State.CLOSED}
    while new:
        new = set().union(*(TRANSITIONS[state] for state in new)) - reached
        reached |= new
    assert reached == set(State)
    # REFUSED is final; every other state may become CLOSED.
    assert {state for state, after in TRANSITIONS.items() if not after} == {State.REFUSED}
    assert all(State.CLOSED in after for state, after in TRANSITIONS.items() if after)


def test_the_text_of_every_notice() -> None:
    notices: list[Notice] = [
        *(Authenticated(), Acknowledged(("A", "B")), Unsubscribed(("A",)), ChannelsFailed({"A": "why"})),
        *(NotEntitled("why"), RequestRefused("why"), ProviderError("why"), TryLater("why", 1.0), Refused("why")),
        *(ClockDoubt("clock_stepped", "the clock was set", 0), Silent({"A": 61.4}), HeardAgain(("A",))),
    ]
    assert {type(notice) for notice in notices} == set(get_args(Notice))
    assert [describe(notice) for notice in notices] == [
        "authenticated",
        "subscribed to A, B",
        "unsubscribed from A",
        "not subscribed to A (why)",
        "channels refused: why",
        "subscription refused: why",
        "provider error: why",
        "why",
        "why",
        "the clock was set",
        "no data: A (61 s)",
        "data again: A",
    ]
    many = describe(Silent({f"S{number}": 61.4 for number in range(5_000)}))
    assert many.endswith("and 4980 more")
    assert len(many) < 500
