"""tick_id: a valid UUIDv7 that sorts by event time, then by arrival."""

from __future__ import annotations

import uuid

import numpy as np

from ticks_platform.ingestion.rows.tables import tick_ids


def ids(times: list[int], positions: list[int], journal_number: int = 1) -> list[uuid.UUID]:
    made = tick_ids(np.array(times, dtype=np.int64), np.array(positions, dtype=np.int64), journal_number)
    return [uuid.UUID(bytes=bytes(value)) for value in made]


def test_a_tick_id_is_a_version_7_uuid_of_the_event_time() -> None:
    (made,) = ids([1_700_000_000_123_456_789], [0])
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 1_700_000_000_123


def test_tick_ids_sort_by_event_time_then_by_arrival() -> None:
    second = 1_000_000_000
    made = ids([5 * second, 5 * second, 5 * second + 250, 6 * second], [7, 8, 3, 1])
    assert made == sorted(made)
    assert len(set(made)) == 4


def test_two_journals_never_make_the_same_id() -> None:
    assert ids([10**18], [12345], 1) != ids([10**18], [12345], 2)


def test_the_largest_position_leaves_variant_and_journal_intact() -> None:
    (made,) = ids([10**18], [2**46 - 1], 65535)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int & 65535 == 65535
