"""What is told of a trouble: once, again after hours, and when it is over; nothing is lost while nobody takes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from ticks_platform.alerts import webhook
from ticks_platform.alerts.told import MOST_WAITING, Told, Trouble
from ticks_platform.alerts.webhook import WebhookError

HOUR = 3600.0
AWAY = Trouble("database away", "the database is away", 60.0, over="the database is back")


class Line:
    """A webhook that takes messages, or does not, and a sensor that keeps what is told between its looks as text."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.works = True
        self.cursor: str | None = None
        self.asked: Callable[[float], None] = lambda _now: None
        self.pause = 0.0
        self._now = 0.0

    def look(self, now: float, *troubles: Trouble, unknown: str = "") -> list[str]:
        """What is posted by this look."""
        told, before = Told.load(self.cursor), len(self.posted)
        self._now = now
        told.follow(troubles, now=now, is_unknown=lambda key: key == unknown)
        with contextlib.suppress(WebhookError):
            told.post(self._post, now=now)
        self.cursor = told.dump()
        return [line for text in self.posted[before:] for line in text.splitlines()]

    def _post(self, text: str) -> None:
        self.asked(self._now)
        if not self.works:
            error = WebhookError("away")
            error.pause = self.pause
            raise error
        assert len(text) <= webhook.LONGEST_TEXT
        self.posted.append(text)


@pytest.fixture
def line() -> Line:
    return Line()


def test_nothing_is_told_while_nothing_is_wrong(line: Line) -> None:
    assert [line.look(now) for now in (0.0, 30.0, HOUR)] == [[], [], []]


def test_a_trouble_is_told_once_it_has_lasted_and_when_it_is_over(line: Line) -> None:
    assert line.look(0.0, AWAY) == line.look(59.0, AWAY) == []
    assert line.look(60.0, AWAY) == [":red_circle: the database is away"]
    assert line.look(90.0, AWAY) == []
    assert line.look(120.0) == [], "it may come again at once"
    assert line.look(150.0) == [":large_green_circle: the database is back (after 2 min)"]
    assert line.look(180.0) == []


def test_a_clock_that_is_set_back_delays_no_alert(line: Line) -> None:
    assert line.look(2 * HOUR, AWAY) == []
    assert line.look(HOUR, AWAY) == []
    assert line.look(HOUR + 60.0, AWAY) == [":red_circle: the database is away"]
    assert line.look(0.0, AWAY) == []
    assert line.look(HOUR, AWAY) == [":red_circle: still, for 60 min: the database is away"]


def test_one_that_is_short_is_not_told(line: Line) -> None:
    for now in (0.0, 100.0, 200.0):
        assert line.look(now, AWAY) == line.look(now + 50) == []


def test_one_that_comes_and_goes_is_told_once(line: Line) -> None:
    assert [line.look(now, AWAY) for now in (0.0, 30.0, 60.0)] == [[], [], [":red_circle: the database is away"]]
    assert [line.look(now, *([AWAY] if now % 60 else [])) for now in (90.0, 120.0, 150.0, 180.0)] == [[]] * 4


def test_one_that_lasts_is_told_again_after_hours(line: Line) -> None:
    trouble = Trouble("feed stocks refused", "feed stocks: refused")
    told = [hours for hours in range(24 * 7) if line.look(hours * HOUR, trouble)]
    assert told == [0, 1, 5, 29, 53, 77, 101, 125, 149]
    assert line.posted[2] == ":red_circle: still, for 5 h: feed stocks: refused"


def test_one_that_cannot_be_judged_is_neither_over_nor_told_again(line: Line) -> None:
    trouble = Trouble("feed stocks refused", "feed stocks: refused")
    assert line.look(0.0, trouble)
    assert line.look(30.0, unknown=trouble.key) == line.look(5 * HOUR, unknown=trouble.key) == []
    assert line.look(6 * HOUR) == [":large_green_circle: over: feed stocks: refused (after 6 h)"]


def test_a_warning_that_becomes_an_error_is_told(line: Line) -> None:
    warning = Trouble("disk full", "nearly full", warning=True)
    assert line.look(0.0, warning) == [":large_yellow_circle: nearly full"]
    assert line.look(30.0, warning._replace(text="full", warning=False)) == [":red_circle: full"]
    assert line.look(60.0, warning) == [":large_yellow_circle: nearly full"]


def test_a_clock_that_is_set_back_keeps_no_trouble_for_ever(line: Line) -> None:
    assert [line.look(now, AWAY) for now in (9000.0, 9060.0)][1]
    assert line.look(100.0) == [":large_green_circle: the database is back (after 0 s)"]


def test_an_outage_of_the_webhook_loses_no_message_and_no_order(line: Line) -> None:
    line.works = False
    trouble = Trouble("feed stocks refused", "feed stocks: refused", over="feed stocks is no longer refused")
    for now, troubles in ((0.0, [trouble]), (30.0, []), (60.0, [trouble])):
        assert line.look(now, *troubles) == []
    line.works = True
    assert line.look(90.0, trouble) == [
        ":red_circle: feed stocks: refused",
        ":large_green_circle: feed stocks is no longer refused (after 30 s)",
        ":red_circle: feed stocks: refused",
    ]


def test_more_than_fits_is_posted_in_several_messages(line: Line) -> None:
    troubles = [Trouble(f"check {number}", f"check {number} fails: {'x' * 400}") for number in range(30)]
    assert len(line.look(0.0, *troubles)) == 30
    assert len(line.posted) > 3


def test_so_many_that_none_can_keep_them_are_counted(line: Line) -> None:
    line.works = False
    line.look(0.0, *(Trouble(str(number), f"number {number}") for number in range(MOST_WAITING + 7)))
    line.works = True
    told = line.look(30.0, *(Trouble(str(number), f"number {number}") for number in range(MOST_WAITING + 7)))
    assert told[0] == "7 earlier messages could not be posted"
    assert told[1:] == [f":red_circle: number {number}" for number in range(7, MOST_WAITING + 7)]


@pytest.mark.parametrize("period", [60, 240, 900])
def test_one_that_flaps_all_night_is_no_storm(line: Line, period: int) -> None:
    """A clock near its limit, a check that fails every second time."""
    trouble = Trouble("clock stocks", "the clock is off")
    for now in range(0, 8 * 3600, 30):
        line.look(float(now), *([trouble] if now // period % 2 else []))
    assert len(line.posted) <= 16
    assert line.posted[0] == ":red_circle: the clock is off"
    assert line.look(9.5 * HOUR), "over at last"
    assert line.posted[-1].startswith(":large_green_circle: over")
    assert line.look(20 * HOUR, trouble), "the next night it is another one"
    assert line.look(20 * HOUR + 30)


def test_an_error_that_is_a_warning_every_other_minute_is_no_storm(line: Line) -> None:
    for now in range(0, 8 * 3600, 30):
        line.look(float(now), Trouble("disk full", "the disk is full", warning=now % 60 == 0))
    assert len(line.posted) <= 16


def test_what_nobody_looks_for_any_more_is_not_said_to_be_well() -> None:
    told, posted = Told(), list[str]()
    told.follow([Trouble("feed stocks stalled", "stalled", over="sends ticks again")], now=0.0)
    told.follow([], now=30.0, is_unknown=lambda _key: True, why_over=lambda _key: "stocks is switched off")
    told.post(posted.append, now=30.0)
    assert posted == [":red_circle: stalled\n:large_yellow_circle: stocks is switched off (after 30 s)"]


def test_a_webhook_that_takes_nothing_is_asked_less_and_less_often(line: Line) -> None:
    line.works = False
    asked: list[float] = []
    line.asked = asked.append
    for now in range(0, 3600, 30):
        line.look(float(now), AWAY)
    assert asked[:4] == [60.0, 90.0, 150.0, 270.0]
    assert len(asked) <= 12
    line.works = True
    assert line.look(4200.0, AWAY)[0] == ":red_circle: the database is away"


def test_a_webhook_that_asks_for_a_pause_gets_it(line: Line) -> None:
    line.works, line.pause = False, 900.0
    assert line.look(0.0, AWAY._replace(grace=0.0)) == []
    line.works = True
    assert line.look(870.0, AWAY) == []
    assert line.look(900.0, AWAY) == [":red_circle: the database is away"]


@pytest.mark.parametrize("cursor", [None, "", "{", '{"a:b": "passed"}', "[1, 2]", '{"known": {"a": []}}'])
def test_what_an_older_release_kept_starts_over(cursor: str | None) -> None:
    assert Told.load(cursor).waiting == []
