"""Bounds of time that hold on a busy machine too, without being loosened."""

from __future__ import annotations

from collections.abc import Callable

TRIES = 6
"""How often something is measured; only failures take so many."""


def within(limit: float, measure: Callable[[], float]) -> None:
    """Measure seconds until they are fewer than `limit`: a busy machine delays one try, a fault delays all of them."""
    found: list[float] = []
    while not found or found[-1] >= limit:
        assert len(found) < TRIES, f"never within {limit:g} s: {found}"
        found.append(measure())


def between(least: float, most: float, measure: Callable[[], float]) -> None:
    """Measure a ratio until it lies between the two, as :func:`within` does."""
    found: list[float] = []
    while not found or not least < found[-1] < most:
        assert len(found) < TRIES, f"never between {least:g} and {most:g}: {found}"
        found.append(measure())
