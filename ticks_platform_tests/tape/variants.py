"""Ways in which the same frames arrive: each gives the same candles."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ticks_platform_tests.tape.case import Case, Frame

PLAIN = "plain"

VARIANTS = {
    PLAIN: "each feed's frames over its WebSocket",
    "shuffled": "in another order, but for frames of the same instant or the same trade, whose order means something",
    "repeated": "every frame twice, as after a reconnect; only where all trades have ids",
    "replay": "by the replay of a journal, twice",
    "restart": "half of them by one run of the feed, the rest by another",
    "compression": "half of them, then the chunk is compressed, then the rest",
    "rebuild": "and then the candles are rebuilt, with a column more",
}
"""The variants, and what is different."""


def applies(variant: str, case: Case) -> bool:
    """Whether a variant is possible with a case."""
    if variant == "repeated":
        return all(frame.has_ids for feed in case.feeds for frame in feed.frames)
    return True


def parts(variant: str, frames: Sequence[Frame]) -> list[list[bytes]]:
    """The frames in the order in which they arrive, for one run of the feed after the other."""
    ordered = shuffled(frames) if variant == "shuffled" else list(frames)
    data = [frame.data for frame in ordered]
    if variant == "repeated":
        return [[*data, *data]]
    if variant in ("restart", "compression") and len(data) > 1:
        return [data[: len(data) // 2], data[len(data) // 2 :]]
    return [data]


def shuffled(frames: Sequence[Frame], seed: int = 13) -> list[Frame]:
    """The frames in another order. Those with a common key keep theirs: they share the places that they get."""
    groups: list[list[int]] = []
    for number, frame in enumerate(frames):
        same = [group for group in groups if any(frame.keys & frames[other].keys for other in group)]
        groups = [group for group in groups if group not in same]
        groups.append(sorted([number, *(other for group in same for other in group)]))
    places = list(range(len(frames)))
    random.Random(seed).shuffle(places)
    result = list(frames)
    for group in groups:
        for place, number in zip(sorted(places[number] for number in group), group, strict=True):
            result[place] = frames[number]
    return result
