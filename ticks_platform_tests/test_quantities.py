"""Numbers and lengths of time as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ticks_platform.ingestion.audit import Proof
from ticks_platform.quantities import Count, counted, length


def test_counts_have_their_noun() -> None:
    assert [counted(number, "hour") for number in (0, 1, 2_000)] == ["0 hours", "1 hour", "2,000 hours"]
    assert "of any of {judged:feed}, {judged}".format(judged=Count(1)) == "of any of 1 feed, 1"
    assert f"none of {Count(12_345):candle}" == "none of 12,345 candles"


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (timedelta(days=1), "1 day"),
        (timedelta(hours=12), "12 hours"),
        (timedelta(days=2, hours=1, minutes=30, seconds=5), "2 days 1 hour 30 minutes 5 seconds"),
        (timedelta(0), "0 seconds"),
        (timedelta(milliseconds=500), "0.5 seconds"),
    ],
)
def test_lengths(interval: timedelta, words: str) -> None:
    assert length(interval) == words


def test_what_is_proven_of_no_hour_and_of_one() -> None:
    assert Proof(0, 0, None, None).words() == "no hour is over yet, so none is proven"
    assert Proof(1, 0, None, None).words() == "0 of 1 hour is proven"
    assert Proof(2, 0, None, None).words() == "0 of 2 hours are proven"
