"""Which copies of one and the same event two connections have in common."""

from __future__ import annotations

import pytest

from ticks_platform.ingestion.overlap import in_common

BEGIN, END = 0.0, 3.0
"""The successor's first and the predecessor's last frame, in seconds."""

CASES = {
    "one on each side": ([1.0], [1.01], 1),
    "in a hurry, the later one first": ([1.0], [0.99], 1),
    "only before the successor": ([-0.5], [], 0),
    "before the successor, and another one after the predecessor": ([-0.5], [3.2], 0),
    "again and again": ([0.5, 1.0, 1.5, 2.0], [0.51, 1.01, 1.51, 2.01], 4),
    "the successor came in the middle": ([-0.6, -0.1, 0.4, 0.9], [0.41, 0.91], 2),
    "the predecessor ended in the middle": ([2.0, 2.5, 3.0], [2.01, 2.51, 3.01, 3.5, 4.0], 3),
    "both": ([-1.0, 0.0, 1.0, 2.0, 3.0], [0.01, 1.01, 2.01, 3.01, 4.01], 4),
    "several at once": ([1.0, 1.0, 1.0], [1.01, 1.01, 1.01], 3),
    "several at once, of which the predecessor missed some": ([3.0, 3.0], [3.01, 3.01, 3.01], 2),
    "several at once, of which the successor missed some": ([-0.01, -0.01, -0.01], [0.01, 0.01], 2),
    "one that the predecessor did not get": ([1.0], [1.01, 2.0], 1),
    "one that the successor did not get": ([1.0, 2.0], [2.01], 1),
    "no time in common": ([-3.0, -2.0], [4.0, 5.0], 0),
}


@pytest.mark.parametrize("lag", [0.0, 0.4])
@pytest.mark.parametrize("case", CASES)
def test_in_common(case: str, lag: float) -> None:
    """Also where all reaches the successor later."""
    before, after, number = CASES[case]
    ns = 1_000_000_000
    found = in_common(
        [round(at * ns) for at in before],
        [round((at + lag) * ns) for at in after],
        begin=round((BEGIN + lag) * ns),
        end=round(END * ns),
        lag=round(lag * ns),
    )
    assert found == number
