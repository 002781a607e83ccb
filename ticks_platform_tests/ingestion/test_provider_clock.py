"""The provider's clock, as event times tell it."""

from __future__ import annotations

import random

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


def test_a_machine_that_stood_still_follows_the_provider() -> None:
    clock = told(lags(100))
    assert clock.correction(1200 * SECOND) == -1200 * SECOND
    clock.observe(leads([1199.9] * 5, begin=200), stepped=1200 * SECOND)
    assert clock.correction(1200 * SECOND) == 0


def test_a_header_tells_both_ways_and_events_may_say_otherwise() -> None:
    clock = ProviderClock()
    clock.told = -1200 * SECOND
    assert clock.correction(0) == -1200 * SECOND
    clock.observe(leads(lags(100, ahead=-1200)), stepped=0)
    assert clock.correction(0) == -1200 * SECOND
    clock.observe(leads(lags(100), begin=200), stepped=0)
    assert clock.correction(0) == 0


def test_a_connection_begins_with_what_the_last_one_told() -> None:
    clocks = ProviderClocks()
    clocks.of(1, 1).observe(leads(lags(100, ahead=1200)), stepped=0)
    assert clocks.of(1, 2).correction(0) == 1200 * SECOND
    assert clocks.of(2, 1).correction(0) == 0
    clocks.of(3, 1).observe(leads([-900.0] * 100), stepped=0)
    assert clocks.of(3, 2).correction(0) == 0
