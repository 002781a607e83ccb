"""Pace, series, words and viewers, each by itself."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ticks_platform.live import queries, viewers
from ticks_platform.live.feed_words import NOTHING, Pulse, describe, judge
from ticks_platform.live.pace import BURST, Pace
from ticks_platform.live.queries import Reader
from ticks_platform.live.series import LENGTH, Key, Series
from ticks_platform.live.viewers import TooManyViewersError, Viewer, Viewers
from ticks_platform.timescale.database import Database

KEY = Key("AAPL", "1m")


def row(minute: int, close: float = 1.0, day_volume: float | None = None, volume: float | None = None) -> list[Any]:
    return ["AAPL", 60 * minute, 1.0, 2.0, 0.5, close, volume, day_volume, 3]


def test_the_pace_is_one_query_a_second_whatever_is_asked() -> None:
    pace, now, polls, requests = Pace(), 0.0, 0, 0
    wanted = 500  # requests that are there all the time
    while now < 100.0:
        if pace.wait_of_poll(now) == 0:
            pace.begin(now, is_poll=True)
            polls += 1
        elif wanted and pace.wait_of_request(now) == 0:
            pace.begin(now)
            requests += 1
            wanted -= 1
        now += 0.05
    assert polls + requests <= 100 + BURST + 2
    assert polls >= 30, "polls go on"
    assert requests >= 50


def test_a_request_does_not_wait_for_the_next_second() -> None:
    pace = Pace()
    pace.begin(10.0, is_poll=True)
    assert pace.wait_of_request(10.1) == 0
    assert pace.wait_of_poll(10.1) == pytest.approx(0.9)


def test_a_slow_database_is_asked_less_often() -> None:
    pace = Pace()
    pace.begin(0.0, is_poll=True)
    pace.end(0.4, 0.4)
    assert pace.wait_of_poll(0.4) > 1.0


def test_a_series_tells_what_changed() -> None:
    series = Series(KEY, [row(1), row(2), row(3)])
    assert series.update([row(2), row(3, close=1.5), row(4)], since=120) == [
        [180, 1.0, 2.0, 0.5, 1.5, None, 3],
        [240, 1.0, 2.0, 0.5, 1.0, None, 3],
    ]
    assert series.update([row(3, close=1.5), row(4)], since=180) == []
    assert series.update([row(4)], since=180) == [[180]], "a candle that is gone"
    assert [point[0] for point in series.points()] == [60, 120, 240]


def test_what_is_asked_for_does_not_depend_on_when_a_symbol_was_traded() -> None:
    now = 60_000_030.0
    long_ago, of_now = Series(KEY, [row(1)]), Series(KEY, [row(1_000_000)])
    assert long_ago.changing_since(now, whole=False) == 60_000_000 - 180
    assert long_ago.changing_since(now, whole=True) == 60_000_000 - 60 * 2 * LENGTH
    assert of_now.changing_since(now, whole=True) == 60_000_000, "nothing before its first candle"
    assert Series(KEY, []).changing_since(now, whole=True) > 0


def test_a_series_does_not_grow() -> None:
    series = Series(KEY, [row(minute) for minute in range(LENGTH)])
    series.update([row(minute) for minute in range(LENGTH, LENGTH + 50)], since=60 * LENGTH)
    assert len(series.points()) == LENGTH
    assert series.begin == 60 * 50


def test_volume_is_the_growth_of_the_volume_of_the_day() -> None:
    days = [row(1, day_volume=100), row(2, day_volume=130), row(3, day_volume=125), row(4, day_volume=160)]
    days += [row(5, day_volume=20), row(6, day_volume=25), row(7, volume=7)]
    assert [point[5] for point in Series(KEY, days).points()] == [100.0, 30.0, 0.0, 30.0, 20.0, 5.0, 7]
    assert [point[5] for point in Series(KEY, days, 90.0).points()][:2] == [10.0, 30.0], "as one before it tells"
    assert [point[5] for point in Series(Key("AAPL", "1d"), days).points()][:3] == [100, 130, 125], "each is a day"


def test_the_first_candle_keeps_its_volume_when_older_ones_are_dropped() -> None:
    series = Series(KEY, [row(minute, day_volume=1000.0 + minute) for minute in range(LENGTH)])
    assert series.points()[0][5] == 1000.0
    series.update([row(minute, day_volume=1000.0 + minute) for minute in range(LENGTH, LENGTH + 50)], since=60 * LENGTH)
    assert {point[5] for point in series.points()} == {1.0}


def test_volumes_are_those_of_the_database(database: Database) -> None:
    """One rule, in two places: here candles are followed as they come."""
    counts = [100, 130, None, 125, 160, 20, None, 25, 12, 90]
    begin = datetime(2026, 1, 5, 14, 30, tzinfo=timezone.utc)
    with database.transaction() as cursor:
        for minute, total in enumerate(counts):
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price, day_volume) VALUES (%s, 'AAPL', 1, %s)",
                (begin + timedelta(minutes=minute), total),
            )
        cursor.execute("SELECT volume FROM one_minute_candle_volume ORDER BY bucket")
        expected = [volume for (volume,) in cursor.fetchall()]
    assert len(expected) == len(counts)
    reader = Reader(database)
    for limit in (600, 4):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(queries, "LENGTH", limit)
            answer = reader.history(KEY)
        (history,) = answer.parts["history"]
        found = Series.of_history(KEY, history).points()
        assert [point[5] for point in found] == expected[-limit:]
    reader.close()


def test_prices_that_are_no_numbers_are_none() -> None:
    broken = row(1)
    broken[3] = "Infinity"
    assert Series(KEY, [broken]).points() == [[60, None, None, None, None, None, 3]]


STREAMING = {"enabled": True, "released": False, "heartbeat_age": 1.0, "state": "streaming", "detail": "", "owner": "r"}


@pytest.mark.parametrize(
    ("changes", "pace", "tone", "words"),
    [
        ({}, 20.0, "good", "streaming"),
        ({"data_age": 4.0}, 20.0, "warn", "silent"),
        ({"data_age": 4.0}, 0.5, "good", "streaming"),
        ({"data_age": 4000.0}, None, "good", "streaming"),
        ({"heartbeat_age": 4.5}, 20.0, "bad", "no sign of its run"),
        ({"released": True}, 20.0, "bad", "not ingested"),
        ({"state": "backing off"}, 20.0, "warn", "backing off"),
        ({"state": "refused", "released": True}, None, "bad", "refused"),
        ({"enabled": False}, None, "idle", "disabled"),
        ({"heartbeat_age": None}, None, "warn", "not started yet"),
    ],
)
def test_words_of_a_feed(changes: dict[str, Any], pace: float | None, tone: str, words: str) -> None:
    assert judge({**STREAMING, **changes}, pace)[:2] == (tone, words)


def test_rates() -> None:
    pulse = Pulse()
    for second in range(120):
        pulse.add("tape", float(second), 10 * second)
    assert pulse.rate("tape", 5.0) == pytest.approx(10.0)
    (found,) = describe(["tape"], [{**STREAMING, **NOTHING, "feed": "tape"}], pulse)
    assert found["rate"] == 10.0
    pulse.add("tape", 121.0, 3)
    assert pulse.rate("tape", 5.0) is None, "another database has begun to count again"


def test_a_slow_viewer_skips_and_others_do_not() -> None:
    async def look() -> None:
        everybody = Viewers()
        slow, quick = (Viewer(None, "1m", lambda _: [b"all;"]) for _ in range(2))
        everybody.add(slow)
        everybody.add(quick)
        for number in range(10 * viewers.WAITING):
            everybody.broadcast(b"%d;" % number)
            assert b"%d;" % number in (await quick.next(1.0) or b"")
        waiting = await slow.next(1.0) or b""
        assert waiting.count(b";") <= viewers.WAITING + 1
        assert waiting.startswith(b"all;"), "it gets all that is known in place of what it missed"
        slow.end()
        assert await slow.next(1.0) is None

    asyncio.run(look())


def test_viewers_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers, "MOST", 2)

    async def look() -> None:
        everybody = Viewers()
        for _ in range(2):
            everybody.add(Viewer(None, "1m", lambda _: []))
        with pytest.raises(TooManyViewersError):
            everybody.add(Viewer(None, "1m", lambda _: []))

    asyncio.run(look())
