"""Corrects the arrivals of a batch where the clock of this machine is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.columns import TickColumns
from ticks_platform.feeds.events import Bar
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.provider_clock import ENOUGH_EVENTS, Lead, ProviderClock, ProviderClocks
from ticks_platform.ingestion.rows.tables import Rows

FUTURE_TOLERANCE = 300 * 1_000_000_000
"""Nanoseconds by which a tick's time may be after its arrival; the table's CHECK allows the same."""

_SAMPLES = 32
"""Events of a connection, evenly spread over a batch, that stand for all of it."""


def corrections(
    groups: Sequence[FrameGroup], kinds: Sequence[Rows], clocks: ProviderClocks, *, is_final: bool
) -> list[int] | None:
    """Nanoseconds to add to the arrivals of each group, after learning from its ticks, quotes and bars (`kinds`).

    None if not `is_final`, and the last events of a connection are from the future though too few to tell that our
    clock is behind: then nothing is learned.
    """
    by_connection: dict[tuple[int, int], list[int]] = {}
    for number, group in enumerate(groups):
        by_connection.setdefault((group.epoch, group.connection), []).append(number)
    found: list[tuple[ProviderClock, list[int], list[Lead]]] = []
    for key, numbers in by_connection.items():
        clock = clocks.of(*key)
        first = groups[numbers[0]]
        if clock.told is None and first.correction:
            clock.told = first.stepped + first.correction
        leads = _leads(groups, kinds, None if len(by_connection) == 1 else numbers)
        if not is_final and _is_doubtful(clock, leads, groups[numbers[-1]].stepped):
            return None
        found.append((clock, numbers, leads))
    result = [0] * len(groups)
    for clock, numbers, leads in found:
        if leads:
            clock.observe(leads, stepped=groups[numbers[-1]].stepped)
        for number in numbers:
            result[number] = clock.correction(groups[number].stepped)
    return result


def _is_doubtful(clock: ProviderClock, leads: Sequence[Lead], stepped: int) -> bool:
    limit = stepped + clock.correction(stepped) + FUTURE_TOLERANCE
    last = [each.lead > limit for each in leads[-ENOUGH_EVENTS:]]
    return any(last) and sum(last) < clock.needed()


def _leads(groups: Sequence[FrameGroup], kinds: Sequence[Rows], numbers: Sequence[int] | None) -> list[Lead]:
    """What some events tell, in the order of their arrival: of the groups with these numbers, or of all."""
    leads: list[Lead] = []
    starts = [group.position for group in groups]
    for rows in kinds:
        if not len(rows.events):
            continue
        places = np.arange(len(rows.events))
        if numbers is not None:
            places = places[np.isin(np.searchsorted(starts, rows.positions, side="right") - 1, numbers)]
        places = _sample(places)
        group_of = np.searchsorted(starts, rows.positions[places], side="right") - 1
        for place, group in zip(places.tolist(), group_of.tolist(), strict=True):
            if isinstance(rows.events, TickColumns):
                time = rows.events.time[place]
            else:
                event = rows.events[place]
                time = event.end_time if isinstance(event, Bar) else event.time
            if isinstance(time, int | np.integer) and abs(int(time)) < 1 << 62:
                at = int(rows.received_at[place]) - groups[group].stepped
                leads.append(Lead(at, int(time) - at))
    return sorted(leads)


def _sample(places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    if len(places) <= _SAMPLES + ENOUGH_EVENTS:
        return places
    spread = np.linspace(0, len(places) - 1 - ENOUGH_EVENTS, _SAMPLES).astype(np.intp)
    return np.concatenate([places[spread], places[-ENOUGH_EVENTS:]])
