"""The campaign's account finds candles that were proven and are not what had been received."""

from __future__ import annotations

import random
import time
from pathlib import Path

import msgspec
import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults.events import Row, Tape, digest
from ticks_platform_tests.faults.ingester import Group
from ticks_platform_tests.faults.proofs import Proofs, Proven


@pytest.mark.parametrize(
    ("ticks", "first", "high", "last", "problem"),
    [
        (2, 1.0, 2.0, 2.0, None),
        (3, 1.0, 3.0, 3.0, None),
        (1, 1.0, 1.0, 1.0, "it had 2 to 3 ticks"),
        (4, 1.0, 3.0, 3.0, "it had 2 to 3 ticks"),
        (2, 1.0, 1.0, 1.0, "it lacks a price"),
        (3, 1.0, 7.0, 3.0, "it has a price that was not received"),
        (3, 2.0, 3.0, 3.0, "it does not open with its first price"),
        (3, 1.0, 3.0, 1.0, "it does not close with its last price"),
    ],
)
@pytest.mark.parametrize("spread", [1, 0], ids=["of several times", "of one time"])
def test_a_proven_candle_has_what_was_received_by_then_and_nothing_else(
    tmp_path: Path, ticks: int, first: float, high: float, last: float, problem: str | None, spread: int
) -> None:
    """Two ticks were noted before it was proven, the third one before it was read; in the order of the journal."""
    tape = Tape(random.Random(1))
    frames = [tape._price() for _ in range(3)]
    minute = int(time.time()) // 60 * 60
    notes = tmp_path / "notes.jsonl"
    proofs = Proofs(Database("postgresql://nobody@127.0.0.1:1/none"), notes)
    for number, frame in enumerate(frames):
        row = Row("AAPL", number + 1.0, minute * 1_000_000 + number * spread, None)
        tape._fates[frame.payload] = row
        note = Group("journal", number, number + 1, 1, 1, [digest(frame.payload)])
        with notes.open("ab") as file:
            file.write(b"\n" + msgspec.json.encode(note) + b"\n")
        if number == 1:
            proofs._marks.append((100.0, notes.stat().st_size))
    prices = (first, high, 1.0, last)
    proofs.said.append(Proven("1m", float(minute), "AAPL", *prices, ticks, "proven", 101.0, notes.stat().st_size))
    found = proofs.problems(tape)
    assert [problem in each for each in found] == ([] if problem is None else [True])
