"""Results: tables for people during the run, one JSON line per figure at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple


class Figure(NamedTuple):
    """One number, with the samples that it was computed from."""

    benchmark: str
    name: str
    value: float
    unit: str
    samples: Sequence[float] = ()


class Report:
    """Collects figures, and prints them."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._figures: list[Figure] = []

    def add(self, benchmark: str, name: str, value: float, unit: str, samples: Sequence[float] = ()) -> None:
        """Add a figure."""
        self._figures.append(Figure(benchmark, name, value, unit, samples))

    def print_json(self) -> None:
        """Print one JSON line per figure."""
        for figure in self._figures:
            line = {**figure._asdict(), "value": _short(figure.value), "samples": [_short(s) for s in figure.samples]}
            print(json.dumps({**line, "server": self.server}), flush=True)


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is left-aligned, the others are right-aligned."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    print(f"\n{title}")
    for row in (headings, ["-" * width for width in widths], *rows):
        cells = [
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells))
    print(flush=True)


def interleaved(contenders: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Run all contenders in turn, `repeats` times, so that a disturbance of the machine affects all of them."""
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            samples[name].append(run())
            print(f"  … {name}: {samples[name][-1]:,.0f}", flush=True)
    return samples


def middle(samples: Sequence[float]) -> float:
    """The median."""
    return float(median(samples))


def ratio(samples: Sequence[float], peer: Sequence[float]) -> float:
    """The median of the rounds' ratios: a disturbance of a round affects both sides of its ratio."""
    return float(median(one / other for one, other in zip(samples, peer, strict=True)))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
