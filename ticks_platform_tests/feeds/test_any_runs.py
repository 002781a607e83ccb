"""What conversations do not want to read of several frames is data, and nothing else, whatever the frames are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticks_platform.feeds.connector import Conversation, Reaction
from ticks_platform.feeds.polygon.connector import PolygonConversation
from ticks_platform.feeds.twelve_data.connector import TwelveDataConversation
from ticks_platform_tests.support.any_frames import PROVIDERS, QUICK, frames, good


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_what_is_not_read_is_data(provider: object) -> None:
    @QUICK
    @given(st.data())
    def check(data: st.DataObject) -> None:
        arrived = data.draw(st.lists(st.one_of(frames(provider), st.just(good(provider))), max_size=10))  # type: ignore[arg-type]
        places = list(provider.connector.converse().to_read(arrived))  # type: ignore[attr-defined]
        assert places == sorted(set(places).intersection(range(len(arrived))))
        for place in set(range(len(arrived))).difference(places):
            conversation: Conversation = provider.connector.converse()  # type: ignore[attr-defined]
            assert conversation.receive(arrived[place]) == Reaction(has_data=True)

    check()


@pytest.mark.parametrize("name", ["polygon stocks", "twelve_data"])
def test_data_is_not_read(name: str) -> None:
    provider = PROVIDERS[name]
    assert list(provider.connector.converse().to_read([good(provider)] * 3)) == []


@pytest.mark.parametrize("base", [PolygonConversation, TwelveDataConversation])
def test_who_reads_differently_reads_all(base: type[Conversation]) -> None:
    """What a conversation inherits about the frames that it need not read is about the `receive` that it replaces."""

    class Other(base):  # type: ignore[misc, valid-type]
        def receive(self, frame: bytes) -> Reaction:
            return Reaction()

    class Both(Other):
        def receive(self, frame: bytes) -> Reaction:
            return Reaction()

        def to_read(self, frames: Sequence[bytes]) -> Sequence[int]:
            return (1,)

    class Neither(Both):
        pass

    frames_ = [b'{"event":"price","ev":1}'] * 3
    assert list(Other.to_read(object.__new__(Other), frames_)) == [0, 1, 2]
    assert list(Both.to_read(object.__new__(Both), frames_)) == [1]
    assert list(Neither.to_read(object.__new__(Neither), frames_)) == [1]
