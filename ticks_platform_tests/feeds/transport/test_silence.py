"""Which symbols count as silent, and what is done about them; with simulated time."""

from __future__ import annotations

import itertools
import random
from datetime import datetime, timezone

import pytest

from ticks_platform.feeds.calendars import calendar
from ticks_platform.feeds.transport.silence import (
    MAX_PATIENCE,
    MINORITY_RECONNECT_PAUSE,
    RECONNECT_PAUSE,
    Escalation,
    SilenceDetector,
    Steps,
)

PATIENCE = 60.0
HOUR, DAY = 3_600.0, 86_400.0


def at(text: str) -> float:
    """A UTC time as seconds since the Unix epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


# A Wednesday, with the market open.
NOON = at("2025-11-19 17:00")


class Story:
    """A feed in simulated time: symbols tick, and silence is checked every second or less often."""

    def __init__(self, calendars: dict[str, str], *, begin: float = NOON) -> None:
        self.now = begin
        self.silence = SilenceDetector({name: calendar(each) for name, each in calendars.items()}, patience=PATIENCE)
        self.escalation = Escalation(self.silence)
        self.since = dict.fromkeys(calendars, begin)
        self.steps: list[tuple[float, Steps]] = []

    def advance(self, seconds: float, every: dict[str, float], *, look: float = 1.0) -> list[tuple[float, Steps]]:
        """Advance the time; each symbol ticks at its interval in seconds. Returns the steps that were taken."""
        begin, taken = self.now, len(self.steps)
        count = dict.fromkeys(every, 0)
        while self.now < begin + seconds:
            self.now += look
            for symbol, pace in every.items():
                ticks = int((self.now - begin) / pace) - count[symbol]
                count[symbol] += ticks
                self.silence.record([symbol] * ticks, until=self.now)
            self.silence.mark_decoded(self.now)
            steps = self.escalation.check(self.since, self.now)
            if any(steps):
                self.steps.append((self.now, steps))
            if steps.reconnect:
                self.since = dict.fromkeys(self.since, self.now + 2.0)
        return self.steps[taken:]

    def reconnects(self) -> list[float]:
        return [moment for moment, steps in self.steps if steps.reconnect]


@pytest.mark.parametrize(
    ("begin", "days"),
    [
        ("2025-11-19 20:00", 1.0),  # a night
        ("2025-11-21 20:00", 3.0),  # a weekend
        ("2025-11-26 20:00", 2.0),  # Thanksgiving
        ("2025-11-28 17:00", 3.0),  # a half day, and the weekend after it
        ("2025-12-24 16:00", 2.0),  # another one, and Christmas
    ],
)
def test_quiet_while_closed_is_no_alarm(begin: str, days: float) -> None:
    sessions = calendar("XNYS").sessions(at(begin), at(begin) + days * DAY)
    story = Story({"AAPL": "XNYS", "SLOW": "XNYS"}, begin=at(begin))
    end = at(begin) + days * DAY
    for opens, closes in [*sessions, (end, end)]:
        story.advance(opens - story.now, {}, look=30.0)
        story.advance(closes - story.now, {"AAPL": 1.0, "SLOW": 300.0}, look=30.0)
    assert len(sessions) >= 2
    assert story.steps == []


def test_silence_on_a_half_day_counts_until_it_ends() -> None:
    story = Story({"AAPL": "XNYS"}, begin=at("2025-11-28 17:00"))
    story.advance(1_800.0, {"AAPL": 0.5})
    # It becomes silent 20 s before the close here, and 2 minutes before it below.
    story.advance(1_780.0, {"AAPL": 0.5})
    assert story.advance(HOUR, {}) == []
    assert story.now > at("2025-11-28 18:30")
    early = Story({"AAPL": "XNYS"}, begin=at("2025-11-28 17:00"))
    early.advance(3_480.0, {"AAPL": 0.5})
    assert early.advance(HOUR, {})[0][1].newly_silent.keys() == {"AAPL"}


def test_nothing_on_the_morning_after() -> None:
    # Silence counts from the open, not from the evening before.
    story = Story({"AAPL": "XNYS"}, begin=at("2025-11-19 20:00"))
    story.advance(HOUR, {"AAPL": 0.5})
    story.advance(at("2025-11-20 14:30") - story.now, {}, look=60.0)
    assert story.advance(55.0, {}) == []
    assert story.advance(10.0, {})[0][1].newly_silent["AAPL"] == pytest.approx(61.0, abs=1.5)


def test_escalation() -> None:
    story = Story({"BTC": "always"})
    assert story.advance(1_200.0, {"BTC": 0.2}) == []
    (detected_at, detected), (reconnect_at, reconnect), (unhealthy_at, unhealthy) = story.advance(1_000.0, {})
    silent_since = NOON + 1_200.0
    assert detected_at - silent_since == pytest.approx(PATIENCE, abs=2.0)
    assert detected.newly_silent.keys() == {"BTC"}
    assert detected.reconnect is None
    assert reconnect_at - detected_at == pytest.approx(PATIENCE / 2, abs=2.0)
    assert reconnect.reconnect is not None
    assert "BTC" in reconnect.reconnect
    assert not reconnect.unhealthy
    assert PATIENCE / 2 < unhealthy_at - reconnect_at < 2 * PATIENCE
    assert unhealthy.unhealthy == ("BTC",)
    assert story.escalation.unhealthy == {"BTC"}

    ((_, heard),) = story.advance(120.0, {"BTC": 0.2})
    assert heard == Steps({}, ("BTC",), None, ())
    assert story.escalation.unhealthy == frozenset()
    # It may become silent again.
    assert [steps.newly_silent.keys() for _, steps in story.advance(70.0, {})] == [{"BTC"}]


def test_a_new_subscription_helps() -> None:
    story = Story({"BTC": "always", "ETH": "always"})
    story.advance(1_200.0, {"BTC": 0.2, "ETH": 0.2})
    (_, detected), *_ = story.advance(70.0, {"ETH": 0.2})
    assert detected.newly_silent.keys() == {"BTC"}
    ((_, heard),) = story.advance(HOUR, {"BTC": 0.2, "ETH": 0.2})
    assert heard.heard_again == ("BTC",)
    assert story.reconnects() == []


def test_a_halt_does_not_interrupt_the_others_repeatedly() -> None:
    names = [f"S{number}" for number in range(10)]
    story = Story(dict.fromkeys(names, "always"))
    all_tick = dict.fromkeys(names, 1.0)
    story.advance(1_200.0, all_tick, look=2.0)
    halted: set[str] = set()
    # Symbols are halted one after the other; four hours later all are back.
    for name in names[:4]:
        halted.add(name)
        story.advance(HOUR / 3, {each: pace for each, pace in all_tick.items() if each not in halted}, look=5.0)
    story.advance(4 * HOUR, {each: pace for each, pace in all_tick.items() if each not in halted}, look=10.0)
    reconnects = story.reconnects()
    assert all(later - earlier >= MINORITY_RECONNECT_PAUSE for earlier, later in itertools.pairwise(reconnects))
    # One for the first symbol at once, and one for all others after the pause.
    assert len(reconnects) == 2
    assert story.escalation.unhealthy == halted
    (*_, (_, heard)) = story.advance(60.0, all_tick)
    assert set(heard.heard_again) <= halted
    assert story.escalation.unhealthy == frozenset()


def test_many_that_are_silent_reconnect_sooner() -> None:
    story = Story({"A": "always", "B": "always"})
    both = {"A": 0.2, "B": 0.2}
    for _ in range(3):
        story.advance(900.0, both)
        story.advance(120.0, {})
    assert len(story.reconnects()) == 3
    assert RECONNECT_PAUSE < 1_020.0


def test_a_slow_symbol_is_not_silent() -> None:
    story = Story({"SLOW": "always", "BUSY": "always"})
    assert story.advance(DAY, {"SLOW": 300.0, "BUSY": 1.0}, look=5.0) == []
    assert story.silence.limit("SLOW") > 20 * 300.0
    assert story.silence.limit("BUSY") == PATIENCE


def test_chance_is_no_alarm() -> None:
    chance = random.Random(3)
    story = Story({"X": "always"})
    for _ in range(3_000):
        assert story.advance(max(1.0, chance.expovariate(1 / 12.0)), {}) == []
        story.silence.record(["X"], until=story.now)
        story.silence.mark_decoded(story.now)


def test_a_symbol_without_any_data() -> None:
    story = Story({"NOPE": "always", "BTC": "always"})
    assert story.advance(MAX_PATIENCE - 10.0, {"BTC": 1.0}, look=5.0) == []
    ((_, detected), *_) = story.advance(60.0, {"BTC": 1.0}, look=5.0)
    assert detected.newly_silent.keys() == {"NOPE"}


def test_a_symbol_that_was_added_late_has_its_time() -> None:
    story = Story({"BTC": "always"})
    story.advance(3 * HOUR, {"BTC": 1.0}, look=5.0)
    story.silence.set_calendars({"BTC": calendar("always"), "ETH": calendar("always")})
    story.since["ETH"] = story.now
    assert story.advance(HOUR, {"BTC": 1.0, "ETH": 600.0}, look=5.0) == []


def test_a_removed_symbol_is_forgotten() -> None:
    story = Story({"A": "always", "B": "always", "C": "always"})
    rest = {"B": 1.0, "C": 1.0}
    story.advance(1_200.0, {**rest, "A": 0.2})
    story.advance(HOUR, rest)
    assert story.escalation.unhealthy == {"A"}
    del story.since["A"]
    story.advance(2.0, rest)
    assert story.escalation.unhealthy == frozenset()


def test_early_trading_does_not_raise_the_rate() -> None:
    # A tick per minute from 9:00 to 14:30 UTC; fewer in the open market after that.
    story = Story({"SLOW": "XNYS"}, begin=at("2025-11-19 09:00"))
    story.advance(at("2025-11-19 14:30") - story.now, {"SLOW": 60.0}, look=5.0)
    assert story.silence.limit("SLOW") == MAX_PATIENCE
    assert story.advance(600.0, {"SLOW": 290.0}, look=5.0) == []


def test_a_night_does_not_lower_the_rate() -> None:
    story = Story({"AAPL": "XNYS"}, begin=at("2025-11-19 20:00"))
    story.advance(HOUR - 10.0, {"AAPL": 0.5})
    story.advance(at("2025-11-20 14:30") - story.now, {}, look=60.0)
    story.advance(5.0, {"AAPL": 0.5})
    assert story.silence.limit("AAPL") == PATIENCE


def test_rate_and_limit() -> None:
    story = Story({"X": "always"})
    assert story.silence.limit("X") == story.silence.limit("unheard of") == MAX_PATIENCE
    story.advance(6_000.0, {"X": 10.0})
    # 30 expected ticks at one per ten seconds.
    assert story.silence.limit("X") == pytest.approx(300.0, rel=0.1)
    assert story.silence.last_seen("X") == story.now
    assert story.silence.last_seen("unheard of") is None
    assert story.silence.patience == PATIENCE
    assert story.silence.duration("X", story.now + 50.0, since=0.0) == 50.0
    assert story.silence.duration("X", story.now + 50.0, since=story.now + 20.0) == 30.0
    assert story.silence.duration("unheard of", story.now, since=0.0) == 0.0


def test_ticks_that_are_counted_before_their_batch_is_done() -> None:
    # Another thread may check between the two calls.
    silence = SilenceDetector({"X": calendar("always")}, patience=PATIENCE)
    silence.record(["X"] * 100, until=NOON)
    silence.count()
    assert silence.last_seen("X") == NOON
    silence.mark_decoded(NOON)
    silence.record(["X"] * 100, until=NOON + 1.0)
    silence.mark_decoded(NOON + 1.0)
    assert silence.limit("X") == pytest.approx(30.0 * 600.0 / 200.0, rel=0.01)


def test_which_market_is_open() -> None:
    silence = SilenceDetector({"AAPL": calendar("XNYS"), "BTC": calendar("always")}, patience=PATIENCE)
    night = at("2025-11-20 03:00")
    assert silence.any_open_since(night) == 0.0
    assert silence.open_since(["AAPL"], night) is None
    assert silence.open_since(["AAPL", "BTC"], night) == 0.0
    assert silence.open_since(["AAPL"], NOON) == at("2025-11-19 14:30")
    assert silence.open_since([], NOON) is None
    assert silence.open_since(["unheard of"], NOON) is None


def test_the_silence_of_a_halt_is_expected() -> None:
    """Until it resumes; from then on the usual patience counts, and the rate is that of before."""
    story = Story({"BTC": "always", "ETH": "always"})
    story.advance(1_200.0, {"BTC": 0.2, "ETH": 0.2})
    limit = story.silence.limit("BTC")
    story.silence.record_halt("BTC", "halt", story.now)
    assert story.advance(4 * HOUR, {"ETH": 0.2}) == []
    assert story.silence.fell_silent_before("BTC", story.now) is None
    story.silence.record_halt("BTC", "resume", story.now)
    assert story.silence.limit("BTC") == limit
    assert story.advance(PATIENCE - 5, {"ETH": 0.2}) == []
    assert story.silence.fell_silent_before("BTC", story.now) is not None
    ((_, detected),) = story.advance(10.0, {"ETH": 0.2})
    assert detected.newly_silent.keys() == {"BTC"}


def test_a_halt_that_was_told_before_a_reconnect_explains_nothing() -> None:
    """It may have ended while nothing was received."""
    story = Story({"BTC": "always", "ETH": "always"})
    story.advance(1_200.0, {"BTC": 0.2, "ETH": 0.2})
    story.silence.record_halt("BTC", "halt", story.now)
    story.advance(10.0, {"ETH": 0.2})
    story.since = dict.fromkeys(story.since, story.now)
    (_, detected), *_ = story.advance(100.0, {"ETH": 0.2})
    assert detected.newly_silent.keys() == {"BTC"}


def test_ticks_end_a_halt_whose_resumption_was_missed() -> None:
    """But not late reports of trades from before it."""
    story = Story({"BTC": "always", "ETH": "always"})
    story.advance(1_200.0, {"BTC": 0.2, "ETH": 0.2})
    story.silence.record_halt("BTC", "halt", story.now)
    story.advance(8.0, {"BTC": 2.0, "ETH": 0.2})
    assert story.advance(HOUR, {"ETH": 0.2}) == []
    story.silence.record_halt("ETH", "resume", story.now)
    story.advance(10.0, {"BTC": 0.2, "ETH": 0.2})
    (_, detected), *_ = story.advance(100.0, {"ETH": 0.2})
    assert detected.newly_silent.keys() == {"BTC"}
