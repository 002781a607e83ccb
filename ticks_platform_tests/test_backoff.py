"""Delays between attempts."""

from __future__ import annotations

import pytest

from ticks_platform.backoff import Backoff


def test_full_jitter_within_doubling_bounds() -> None:
    runs = [Backoff(base=0.5, cap=30.0, seed=seed) for seed in range(400)]
    for attempt in range(10):
        ceiling = min(30.0, 0.5 * 2**attempt)
        delays = [backoff.next_delay() for backoff in runs]
        assert min(delays) >= 0.0
        assert max(delays) <= ceiling
        # Uniform over the whole range, or clients that lost the same server would reconnect in step.
        assert min(delays) < 0.05 * ceiling
        assert max(delays) > 0.95 * ceiling
        assert 0.42 * ceiling < sum(delays) / len(delays) < 0.58 * ceiling


def test_ten_thousand_failures() -> None:
    backoff = Backoff(base=0.5, cap=30.0, seed=1)
    delays = [backoff.next_delay() for _ in range(10_000)]
    assert backoff.failures == 10_000
    assert all(0.0 <= delay <= 30.0 for delay in delays)
    assert max(delays[5_000:]) > 29.0


def test_reset_begins_small_again() -> None:
    backoff = Backoff(base=0.5, cap=30.0, seed=1)
    for _ in range(20):
        backoff.next_delay()
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_delay() <= 0.5
    assert backoff.failures == 1


@pytest.mark.parametrize("cap", [0.0, 0.1])
def test_cap_below_base(cap: float) -> None:
    assert Backoff(base=5.0, cap=cap, seed=1).next_delay() <= cap


def test_unseeded_ones_differ() -> None:
    assert Backoff(base=1.0, cap=1.0).next_delay() != Backoff(base=1.0, cap=1.0).next_delay()
