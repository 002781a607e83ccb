"""What is over, and what only cannot be seen any more: an all-clear at night has to be true."""

from __future__ import annotations

import pytest

from ticks_platform.alerts.told import Told
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.status import FeedStatus
from ticks_platform.monitoring import troubles
from ticks_platform.monitoring.database import DatabaseState, JobState
from ticks_platform.monitoring.feed_states import Silence
from ticks_platform.timescale.quality import Channels

FEED = FeedSettings.model_validate(
    {"name": "stocks", "provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL"]}
)
RUNNING = FeedStatus(
    "stocks", True, "a run", True, 1.0, False, "streaming", None, None, None, 9, 9, 0, 0, 0, 0, 0, 0, 0
)
CHANNELS = Channels("stocks", 1, 0, 0, [], None, None)
FRESH = Silence("stocks", 60.0, None, 1.0, enabled=True, is_open=True, is_stalled=False)
STALLED = FRESH._replace(age=500.0, is_stalled=True)
WELL = DatabaseState(statuses=[RUNNING], channels=[CHANNELS], silences=[FRESH], clocks={}, jobs=[])
JOB = JobState(1001, "one_minute_candle", "refresh", 60.0, 5, "no room", None)


def told_by(*states: DatabaseState, feeds: tuple[FeedSettings, ...] = (FEED,)) -> list[str]:
    """What is posted by looks that are ten minutes apart and find these states; the last one with these feeds alone."""
    told, posted = Told(), list[str]()
    for number, state in enumerate(states):
        settings = feeds if number == len(states) - 1 else (FEED,)
        seen = troubles.judge(state, [], settings)
        now = 600.0 * number
        told.follow(seen.troubles, now=now, is_unknown=seen.is_unknown, why_over=seen.why_over)
        told.post(lambda text: posted.extend(text.splitlines()), now=now)
    return posted


SILENT = WELL._replace(silences=[STALLED])
CLOSED = WELL._replace(silences=[STALLED._replace(is_open=False, is_stalled=False)])
GONE = SILENT._replace(statuses=[RUNNING._replace(ingesting=False)])
DISABLED = WELL._replace(
    statuses=[RUNNING._replace(enabled=False)], silences=[STALLED._replace(enabled=False, is_stalled=False)]
)
REFUSED = SILENT._replace(channels=[CHANNELS._replace(refused="wrong key")])


def test_a_feed_that_sends_ticks_again_is_well() -> None:
    *_, last = told_by(SILENT, SILENT, WELL)
    assert last.startswith(":large_green_circle: feed stocks sends ticks again")


@pytest.mark.parametrize("then", [CLOSED, GONE, REFUSED], ids=["market closed", "run killed", "refused"])
def test_a_stalled_feed_that_cannot_be_judged_does_not_send_ticks_again(then: DatabaseState) -> None:
    assert not [line for line in told_by(SILENT, SILENT, then, then) if "green" in line]
    assert [line for line in told_by(SILENT, SILENT, then, then, WELL) if "sends ticks again" in line]


def test_a_killed_run_is_not_connected_again() -> None:
    away = WELL._replace(channels=[CHANNELS._replace(away="backing off")])
    gone = WELL._replace(statuses=[RUNNING._replace(ingesting=False)])
    assert not [line for line in told_by(away, away, gone, gone) if "green" in line]


def test_a_clock_whose_feed_ended_is_not_right_again() -> None:
    wrong = WELL._replace(clocks={"stocks": "300 s behind"})
    gone = WELL._replace(statuses=[RUNNING._replace(ingesting=False)])
    assert not [line for line in told_by(wrong, gone, gone) if "green" in line]


def test_switching_a_feed_off_is_said_as_that() -> None:
    *_, last = told_by(SILENT, SILENT, DISABLED)
    assert last.startswith(":large_yellow_circle: feed stocks is switched off"), last


def test_removing_a_feed_is_said_as_that() -> None:
    nothing = DatabaseState(statuses=[], channels=[], silences=[], clocks={}, jobs=[])
    *_, last = told_by(SILENT, SILENT, nothing, feeds=())
    assert last.startswith(":large_yellow_circle: feed stocks is no longer in feeds.yaml"), last


def test_a_job_that_is_paused_does_not_succeed() -> None:
    *_, last = told_by(WELL._replace(jobs=[JOB]), WELL)
    assert last.startswith(":large_yellow_circle: job 1001 is no longer run by the database"), last
    *_, last = told_by(WELL._replace(jobs=[JOB]), WELL._replace(jobs=[JOB._replace(failures=0)]))
    assert last.startswith(":large_green_circle: refresh policy of one_minute_candle: job 1001 succeeds again")
