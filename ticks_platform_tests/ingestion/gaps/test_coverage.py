"""Coverage computed from changes of connections: what ends it, and when it begins again. Needs no database."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, HeardAgain, Notice, Silent, Unsubscribed
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion.gaps.coverage import IN_FLIGHT, Coverage
from ticks_platform.ingestion.gaps.coverage_notes import Period

SECOND = 1_000_000_000


def settings(*symbols: str, **more: Any) -> FeedSettings:
    return FeedSettings.model_validate({"name": "test", "provider": "twelve_data", "symbols": list(symbols), **more})


POLYGON = {"provider": "polygon", "options": {"market": "stocks", "channels": ["T", "AM"]}}


class Story:
    """Sends changes to a Coverage; times are seconds."""

    def __init__(self, feed: FeedSettings, silence: SilenceDetector | None = None) -> None:
        self._feed = feed
        self._connector = feed.keyless_connector()
        self._coverage = Coverage(self._connector, feed, at=0, silence=silence)
        self._states: dict[int, State] = {}

    def state(
        self,
        at: float,
        state: State,
        *,
        until: float | None = None,
        alive: float | None = None,
        connection: int = 1,
        off: bool = False,
    ) -> None:
        self._states[connection] = state
        covered, answered = (None if end is None else int(end * SECOND) + IN_FLIGHT for end in (until, alive))
        change = Change(state, int(at * SECOND), connection, "", None, covered, answered)
        self._coverage.handle(change, switched_off=off)

    def notice(self, at: float, notice: Notice, *, until: float | None = None, connection: int = 1) -> None:
        covered = None if until is None else int(until * SECOND) + IN_FLIGHT
        state = self._states.get(connection, State.STREAMING)
        self._coverage.handle(Change(state, int(at * SECOND), connection, "", notice, covered))

    def configure(self, at: float, *symbols: str) -> None:
        feed = self._feed.model_copy(update={"symbols": settings(*symbols).symbols})
        self._coverage.apply_settings(feed, at=int(at * SECOND))

    def periods(self) -> list[tuple[str, float, float | None, str | None]]:
        """Symbol, begin, end and `ended_by` of each interval."""
        last: dict[tuple[str, int, int], Period] = {}
        for period in self._coverage._periods:
            last[period.symbol, period.connection, period.begins_at] = period
        return [
            (
                each.symbol,
                each.begins_at / SECOND,
                None if each.ends_at is None else each.ends_at / SECOND,
                each.ended_by,
            )
            for each in last.values()
        ]


def test_coverage_lasts_from_acknowledgement_to_the_last_proven_moment() -> None:
    story = Story(settings("A", "B"))
    story.notice(1, Acknowledged(("A", "B")))
    story.state(9, State.BACKING_OFF, until=7)
    story.notice(12, Acknowledged(("A",)), connection=2)
    story.state(20, State.CLOSED, until=19, connection=2, off=True)
    assert story.periods() == [
        ("A", 1, 7, "disconnected"),
        ("B", 1, 7, "disconnected"),
        ("A", 12, 19, "switched_off"),
    ]


def test_without_data_nothing_is_covered() -> None:
    story = Story(settings("A"))
    story.notice(1, Acknowledged(("A",)))
    story.state(9, State.BACKING_OFF)
    assert story.periods() == [("A", 1, 1, "disconnected")]


def test_a_second_acknowledgement_changes_nothing() -> None:
    story = Story(settings("A"))
    story.notice(1, Acknowledged(("A",)))
    story.notice(3, Acknowledged(("A",)))
    assert story.periods() == [("A", 1, None, None)]


def test_a_stall_lasts_until_data_arrives_after_a_new_acknowledgement() -> None:
    story = Story(settings("A", "B"))
    story.notice(1, Acknowledged(("A", "B")))
    story.state(9, State.STALLED, until=5)
    # The provider may have sent it before it unsubscribed.
    story.state(10, State.STREAMING)
    story.notice(11, Acknowledged(("A",)))
    assert story.periods()[2:] == [("A", 11, None, None)]
    story.state(20, State.STALLED, until=19)
    story.notice(21, Acknowledged(("A", "B")))
    assert story.periods()[2:] == [("A", 11, 19, "stalled")]
    story.state(22, State.STREAMING)
    assert story.periods()[3:] == [("A", 22, None, None), ("B", 22, None, None)]


def test_symbols_acknowledged_one_by_one_during_a_stall_are_covered_together() -> None:
    story = Story(settings("A", "B"))
    story.notice(1, Acknowledged(("A", "B")))
    story.state(9, State.STALLED, until=5)
    story.notice(10, Acknowledged(("A",)))
    story.notice(11, Acknowledged(("B",)))
    story.state(22, State.STREAMING)
    assert story.periods()[2:] == [("A", 22, None, None), ("B", 22, None, None)]


def test_a_stall_continues_on_the_next_connection_until_data_arrives() -> None:
    """A provider that acknowledges but sends nothing may do so on the next connection too."""
    story = Story(settings("A", "B"))
    story.notice(1, Acknowledged(("A", "B")))
    story.state(9, State.STALLED, until=5)
    story.state(12, State.BACKING_OFF)
    story.state(13, State.SUBSCRIBING, connection=2)
    story.notice(14, Acknowledged(("A", "B")), connection=2)
    story.state(15, State.BACKING_OFF, connection=2)
    story.state(16, State.SUBSCRIBING, connection=3)
    story.notice(17, Acknowledged(("A", "B")), connection=3)
    assert story.periods()[2:] == []
    story.state(18, State.STREAMING, connection=3)
    assert story.periods()[2:] == [("A", 18, None, None), ("B", 18, None, None)]
    story.state(19, State.BACKING_OFF, connection=3, until=19)
    story.state(20, State.SUBSCRIBING, connection=4)
    story.notice(21, Acknowledged(("A", "B")), connection=4)
    assert story.periods()[4:] == [("A", 21, None, None), ("B", 21, None, None)]


def test_a_silent_symbol_is_covered_again_after_data_and_acknowledgement() -> None:
    story = Story(settings("A", "B"))
    story.notice(1, Acknowledged(("A", "B")))
    story.notice(60, Silent({"A": 50.0}, {"A": 9.25}))
    story.notice(61, Unsubscribed(("A",)))
    story.notice(62, Acknowledged(("A",)))
    assert story.periods() == [("A", 1, 9, "silent"), ("B", 1, None, None)]
    story.state(70, State.BACKING_OFF, until=69)
    story.notice(71, Acknowledged(("A", "B")), connection=2)
    assert story.periods()[2:] == [("B", 71, None, None)]
    story.notice(80, HeardAgain(("A",), {"A": 79.5}), connection=2)
    assert story.periods()[3:] == [("A", 79.5, None, None)]


def test_a_symbol_with_data_before_its_new_acknowledgement_is_covered_from_that_on() -> None:
    story = Story(settings("A"))
    story.notice(1, Acknowledged(("A",)))
    story.notice(60, Silent({"A": 50.0}, {"A": 9.25}))
    story.notice(62, Acknowledged(("A",)))
    story.notice(63, HeardAgain(("A",), {"A": 60.5}))
    assert story.periods()[1:] == [("A", 62, None, None)]


def test_tick_channels_cover_a_symbol() -> None:
    story = Story(settings("AAPL", **POLYGON))
    story.notice(1, Acknowledged(("AM.AAPL",)))
    assert story.periods() == []
    story.notice(2, Acknowledged(("T.AAPL",)))
    story.notice(3, ChannelsFailed({"AM.AAPL": "not in your plan"}))
    assert story.periods() == [("AAPL", 2, None, None)]
    story.notice(4, ChannelsFailed({"T.AAPL": "not in your plan"}), until=3.5)
    assert story.periods() == [("AAPL", 2, 3.5, "refused")]


@pytest.mark.parametrize(("channels", "ticks"), [(["Q"], ("Q.A",)), (["T", "Q", "A", "AM"], ("T.A",))])
def test_channels_of_ticks(channels: list[str], ticks: tuple[str, ...]) -> None:
    feed = settings("A", provider="polygon", options={"market": "stocks", "channels": channels})
    assert feed.keyless_connector().tick_channels("A") == ticks


def test_a_removed_symbol_ends_before_it_is_unsubscribed_and_must_be_acknowledged_again() -> None:
    story = Story(settings("A", "B:NYSE"))
    story.notice(1, Acknowledged(("A", "B:NYSE")))
    story.configure(5, "A")
    assert story.periods() == [("A", 1, None, None), ("B:NYSE", 1, 5, "unsubscribed")]
    story.configure(6, "A", "B:NYSE")
    assert len(story.periods()) == 2
    story.notice(7, Acknowledged(("B:NYSE",)))
    assert story.periods()[2:] == [("B:NYSE", 7, None, None)]


def test_each_connection_covers_its_own_symbols() -> None:
    story = Story(settings("A", "B"))
    story.notice(1, Acknowledged(("A",)), connection=1)
    story.notice(2, Acknowledged(("B",)), connection=2)
    story.state(9, State.BACKING_OFF, until=8, connection=2)
    assert story.periods() == [("A", 1, None, None), ("B", 2, 8, "disconnected")]


@pytest.mark.parametrize(
    ("state", "ended_by"), [(State.BACKING_OFF, "disconnected"), (State.STALLED, "stalled"), (State.CLOSED, "stopped")]
)
def test_a_symbol_that_fell_silent_before_its_connection_ended_is_covered_to_its_last_tick(
    state: State, ended_by: str
) -> None:
    """A symbol with ten ticks a second; slow symbols, and those with a tick just now, are covered to the end."""
    feed = settings("A", "B", "C", "D", calendar="always")
    silence = SilenceDetector(feed.calendars(), patience=60)
    story = Story(feed, silence)
    story.notice(1, Acknowledged(("A", "B", "C", "D")))
    for second in range(2, 1000):
        busy = ["A"] * 10 if second < 990 else []
        slow = ["C"] if second % 60 == 0 else []
        silence.record([*busy, *["B"] * 10, *slow], until=second)
        silence.mark_decoded(second)
    story.state(1001, state, until=1000)
    assert story.periods() == [
        ("A", 1, pytest.approx(988, abs=1), "silent"),
        ("B", 1, 1000, ended_by),
        ("C", 1, 1000, ended_by),
        ("D", 1, 1000, ended_by),
    ]


@pytest.mark.parametrize(
    ("until", "alive", "end"),
    [
        ("19:59:30", "21:00", "21:00"),  # the last trade is soon before the end of the hours
        ("19:58:30", "21:00", "19:58:30"),  # it is so long before that more may be missing
        ("19:59:30", "19:59:50", "19:59:30"),  # more may have come
        ("19:59:30", "28:00:30", "28:00"),  # hours have begun again, at 04:00 of the next day
        ("15:00", "15:00:30", "15:00"),
        ("20:30", "23:00", "23:00"),
        ("19:59:30", None, "19:59:30"),  # no ping was answered
    ],
)
def test_a_connection_that_ends_at_night_has_missed_nothing(until: str, alive: str | None, end: str) -> None:
    midnight = datetime(2025, 3, 4, 5, tzinfo=timezone.utc).timestamp()  # in New York

    def at(text: str) -> float:
        hours, minutes, seconds = map(int, f"{text}:00".split(":")[:3])
        return midnight + hours * 3600 + minutes * 60 + seconds

    story = Story(settings("A"))
    story.notice(at("09:00"), Acknowledged(("A",)))
    story.state(at("32:00"), State.BACKING_OFF, until=at(until), alive=None if alive is None else at(alive))
    assert story.periods() == [("A", at("09:00"), pytest.approx(at(end), abs=0.3), "disconnected")]


def test_a_backlog_is_no_silence() -> None:
    feed = settings("A", calendar="always")
    silence = SilenceDetector(feed.calendars(), patience=60)
    story = Story(feed, silence)
    story.notice(1, Acknowledged(("A",)))
    for second in range(2, 1000):
        silence.record(["A"] * 10, until=second)
        silence.mark_decoded(second)
    story.state(2001, State.BACKING_OFF, until=2000)
    assert story.periods() == [("A", 1, 2000, "disconnected")]
