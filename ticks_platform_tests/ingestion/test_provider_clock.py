"""The provider's clock, as event times tell it."""

from __future__ import annotations

import random
import socket

import pytest

from ticks_platform import http_date
from ticks_platform.ingestion.database_clock import is_elsewhere
from ticks_platform.ingestion.provider_clock import Lead, ProviderClock, ProviderClocks

SECOND = 1_000_000_000
MINUTES = 60 * SECOND


def leads(seconds: list[float], *, begin: float = 0.0) -> list[Lead]:
    return [Lead(round((begin + number) * SECOND), round(each * SECOND)) for number, each in enumerate(seconds)]


def lags(count: int, *, ahead: float = 0.0, seed: int = 1) -> list[float]:
    """Leads of a provider that is `ahead` seconds, with lags as they are: small, and some large."""
    random_ = random.Random(seed)
    return [ahead - random_.choice((0.02, 0.05, 0.1, 0.4, 30.0)) for _ in range(count)]


def told(*batches: list[float], stepped: float = 0.0) -> ProviderClock:
    clock = ProviderClock()
    begin = 0.0
    for batch in batches:
        clock.observe(leads(batch, begin=begin), stepped=round(stepped * SECOND))
        begin += len(batch)
    return clock


def test_a_right_clock_is_not_corrected() -> None:
    assert told(lags(100), lags(100)).correction(0) == 0


def test_a_clock_that_is_behind_is_corrected_by_whole_seconds() -> None:
    assert told(lags(100, ahead=1200)).correction(0) == 1200 * SECOND
    assert told([1199.9, 1199.9, 1199.9]).correction(0) == 1200 * SECOND


def test_two_events_are_too_few() -> None:
    assert told([1200.0, 1200.0]).correction(0) == 0


def test_whole_seconds_of_a_provider_are_no_wrong_clock() -> None:
    assert told([-each / 10 for each in range(10)] * 5).correction(0) == 0
    assert told([0.9 - each / 10 for each in range(10)] * 5).correction(0) == 0


def test_one_wrong_stamp_moves_nothing() -> None:
    assert told(lags(50), [1200.0], lags(50)).correction(0) == 0
    assert told([1200.0, *lags(5)]).correction(0) == 0


def test_old_events_do_not_take_the_correction_away() -> None:
    late = [-5000.0] * 200
    assert told(lags(100, ahead=1200), late, late).correction(0) == 1200 * SECOND


def test_a_snapshot_of_old_trades_comes_first() -> None:
    clock = told([-3600.0] * 200)
    assert clock.correction(0) == 0
    clock.observe(leads(lags(20, ahead=1200), begin=300), stepped=0)
    assert clock.correction(0) == 1200 * SECOND


def test_a_delayed_feed_is_not_a_clock_that_is_ahead() -> None:
    assert told([-900.0] * 100).correction(0) == 0


def test_a_clock_that_is_set_is_followed() -> None:
    behind = told(lags(100, ahead=1200))
    assert behind.correction(1200 * SECOND) == 0
    right = told(lags(100))
    assert right.correction(-1200 * SECOND) == 1200 * SECOND


def test_a_clock_that_agreed_and_was_set_forward_is_ahead() -> None:
    assert told(lags(100)).correction(1200 * SECOND) == -1200 * SECOND
    # Of a delayed feed it is not known which of the two is right.
    assert told([-900.0] * 100).correction(1200 * SECOND) == 0


@pytest.mark.parametrize("lag", [0.6, 1.4, 3.0])
@pytest.mark.parametrize("by", [1200.0, -1200.0, 1200.4])
def test_a_clock_that_was_right_and_is_set_is_corrected_by_just_that(lag: float, by: float) -> None:
    """How much it was set is known exactly, and how late its events were is not: also on the next connection."""
    clocks = ProviderClocks()
    clocks.of(1, 1).observe(leads([-lag] * 20), stepped=0)
    for number in (1, 2):
        clock = clocks.of(1, number)
        assert clock.correction(round(by * SECOND)) == -round(by * SECOND)
        clock.observe(leads([-lag] * 3, begin=100 * number), stepped=round(by * SECOND))
        assert clock.correction(round(by * SECOND)) == -round(by * SECOND)
        assert clock.correction(0) == 0


@pytest.mark.parametrize("lag", [0.6, 3.0, 4.5])
def test_a_corrected_clock_that_was_set_right_is_known_exactly_from_then_on(lag: float) -> None:
    """While it was wrong, the correction had as much of an error as events came late."""
    clocks = ProviderClocks()
    clock, behind = clocks.of(1, 1), 1200 * SECOND
    clock.observe(leads([1200 - lag] * 20), stepped=0)
    for number in range(50):
        clock.observe(leads([1200 - lag] * 20, begin=100 + 20 * number), stepped=behind)
    assert clock.correction(behind) == 0
    for each in (clock, clocks.of(1, 2)):
        assert each.correction(behind + 3600 * SECOND) == -3600 * SECOND


def test_a_machine_that_stood_still_follows_the_provider() -> None:
    clock = told(lags(100))
    assert clock.correction(1200 * SECOND) == -1200 * SECOND
    clock.observe(leads([1199.9] * 5, begin=200), stepped=1200 * SECOND)
    assert clock.correction(1200 * SECOND) == 0


def weighed(
    seconds: list[float], *, date: float | None = None, database: float | None = None, stepped: float = 0.0
) -> tuple[float, set[str]]:
    """The correction in seconds after these leads, and who says so."""
    clock = ProviderClock()
    clock.dated = None if date is None else round(date * SECOND)
    clock.database = None if database is None else round(database * SECOND)
    if seconds:
        clock.observe(leads(seconds), stepped=round(stepped * SECOND))
    verdict = clock.judge(round(stepped * SECOND))
    return verdict.correction / SECOND, {each.name for each in verdict.by}


@pytest.mark.parametrize("ahead", [-86400, -3600, -1200, -60, 60, 1200, 3600, 86400])
def test_a_clock_that_is_wrong_from_the_start(ahead: int) -> None:
    """Both ways, by minutes, hours and a day."""
    live, delayed = lags(50, ahead=ahead), [ahead - 900.0] * 50
    assert weighed([], date=ahead) == (ahead, {"DATE"})
    assert weighed(live, date=ahead) == (ahead, {"EVENTS", "DATE"})
    assert weighed(live, database=ahead) == (ahead, {"EVENTS", "DATABASE"})
    assert weighed(live[:1], database=ahead)[0] == pytest.approx(ahead, abs=1)
    # The database may have our own clock, in another container.
    assert weighed(live, date=ahead, database=0) == (ahead, {"EVENTS", "DATE"})
    assert weighed(delayed, date=ahead)[0] == ahead
    assert weighed(delayed, date=ahead, database=0)[0] == ahead
    assert weighed(delayed, date=ahead, database=ahead) == (ahead, {"DATE", "DATABASE"})


@pytest.mark.parametrize("lag", [0.0, 4.0, 60.0, 900.0, 86400.0, 86400.0 * 365])
def test_late_data_are_no_wrong_clock(lag: float) -> None:
    """A delayed feed, and one that replays an earlier day."""
    late = lags(50, ahead=-lag)
    for witnesses in ({}, {"date": 0}, {"database": 0}, {"date": 0, "database": 0}, {"date": 1.4, "database": 0.2}):
        assert weighed(late, **witnesses)[0] == 0


def test_a_wrong_date_moves_no_clock_by_which_live_events_are_in_time() -> None:
    for date in (-86400, -3600, 3600, 86400):
        assert weighed(lags(50), date=date)[0] == 0
        assert weighed(lags(50), date=date, database=0)[0] == 0
        assert weighed([-0.1], date=date)[0] == 0
    # One of a cache is too old, and events are later.
    assert weighed([-900.0] * 50, date=-3600)[0] == 0
    assert weighed([-900.0], date=-3600)[0] == 0


def test_a_wrong_clock_of_the_database_moves_nothing() -> None:
    for database in (-86400, -1200, 1200, 86400):
        assert weighed([], database=database)[0] == 0
        assert weighed([-900.0] * 50, database=database)[0] == 0
        assert weighed([-900.0] * 50, date=0, database=database)[0] == 0
        assert weighed(lags(50), date=0, database=database)[0] == 0
        assert weighed(lags(50, ahead=3600), date=3600, database=database)[0] == 3600


def test_stamps_ahead_of_two_other_clocks_are_wrong_themselves() -> None:
    """A provider that stamps local time, or a replay that overtakes the time."""
    assert weighed(lags(50, ahead=14400), date=0, database=0)[0] == 0
    # One clock alone may be our own: a relay on this machine stamps its Date.
    assert weighed(lags(50, ahead=14400), date=0)[0] == 14400
    assert weighed(lags(50, ahead=14400), database=0)[0] == 14400


def test_a_clock_that_was_set_right_is_right() -> None:
    assert weighed(lags(50, ahead=-3600), date=-3600, stepped=-3600)[0] == 0
    assert weighed([-4500.0] * 50, date=-3600, stepped=-3600)[0] == 0


def test_lag_that_begins_later_is_no_clock_that_is_ahead() -> None:
    """Live events, then for hours only late ones."""
    clock = told(lags(50), *[[-400.0] * 50] * 40)
    assert clock.correction(0) == 0
    assert clock.correction(1200 * SECOND) == -1200 * SECOND
    ahead = ProviderClock()
    ahead.dated = -1200 * SECOND
    for begin, batch in enumerate([lags(50, ahead=-1200), *[[-1600.0] * 50] * 40]):
        ahead.observe(leads(batch, begin=50 * begin), stepped=0)
    assert ahead.correction(0) == -1200 * SECOND


def test_a_header_tells_both_ways_and_events_may_say_otherwise() -> None:
    clock = ProviderClock()
    clock.dated = -1200 * SECOND
    assert clock.correction(0) == -1200 * SECOND
    clock.observe(leads(lags(100, ahead=-1200)), stepped=0)
    assert clock.correction(0) == -1200 * SECOND
    clock.observe(leads(lags(100), begin=200), stepped=0)
    assert clock.correction(0) == 0


def test_a_date_tells_the_clock_of_a_server() -> None:
    at = 784_111_777 * SECOND
    headers = {"date": "Sun, 06 Nov 1994 08:49:37 GMT"}

    def ahead(sent: float, took: float, ours: float = 0.0, **more: str) -> float | None:
        begin = at + round(sent * SECOND)
        found = http_date.ahead(
            {**headers, **more}, sent=begin, received=begin + round(took * SECOND), ours=round(ours * SECOND)
        )
        return None if found is None else found / SECOND

    assert ahead(0.9, 0.05) == 0.0
    assert ahead(3600.0, 0.2) == pytest.approx(-3599.6)
    assert ahead(-3600.0, 0.2) == pytest.approx(3600.4)
    # A slow answer leaves open when the server made it.
    assert ahead(0.0, 8.0) == 0.0
    assert ahead(3600.0, 8.0, ours=-3600.0) == -3600.0
    assert ahead(0.9, 0.05, age="0") is None
    assert http_date.ahead({}, sent=at, received=at) is None
    assert http_date.ahead({"date": "soon"}, sent=at, received=at) is None


def test_which_database_is_another_machine() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not is_elsewhere(ours.fileno())
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as connection:
            assert not is_elsewhere(connection.fileno())
        # The loopback network has other addresses, which may be other machines as far as can be told.
        with socket.create_connection(server.getsockname(), source_address=("127.0.0.2", 0)) as connection:
            assert is_elsewhere(connection.fileno())


def test_a_connection_begins_with_what_the_last_one_told() -> None:
    clocks = ProviderClocks()
    clocks.of(1, 1).observe(leads(lags(100, ahead=1200)), stepped=0)
    assert clocks.of(1, 2).correction(0) == 1200 * SECOND
    assert clocks.of(2, 1).correction(0) == 0
    clocks.of(3, 1).observe(leads([-900.0] * 100), stepped=0)
    assert clocks.of(3, 2).correction(0) == 0
