"""Whatever comes: each event of each frame becomes a row, a rejected event or a control event, and nothing raises."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticks_platform.feeds.events import Tick
from ticks_platform.ingestion.decoding import Decoding
from ticks_platform.ingestion.journal.file import FrameGroup, frame_size
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.provider_clock import ProviderClocks
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.ingestion.rows.decode import DecodedBatch, decode_groups
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.store import prepare
from ticks_platform_tests.support.any_frames import (
    PROVIDERS,
    QUICK,
    THOROUGH,
    Provider,
    frames,
    good,
    one_event,
    values,
)

LEASE = Lease("test", 2, "one", 7, 0, 0)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[Provider, list[FrameGroup]]:
    """A provider, and groups of its frames on one or two connections; the last one is a good tick."""
    provider = PROVIDERS[draw(st.sampled_from(sorted(PROVIDERS)))]
    now, position = time.time_ns(), draw(st.sampled_from((0, 1 << 33)))
    groups: list[FrameGroup] = []
    parts = draw(st.lists(st.lists(frames(provider), min_size=1, max_size=3), max_size=4))
    for part in [*parts, [good(provider)]]:
        end = position + sum(map(frame_size, part))
        groups.append(
            FrameGroup(position, end, 2, draw(st.integers(1, 2)), [now + place for place in range(len(part))], part, 0)
        )
        position = end
    return provider, groups


def check(delivery: tuple[Provider, list[FrameGroup]]) -> None:
    provider, groups = delivery
    connector = provider.connector
    for group in groups:
        for frame in group.frames:
            connector.decode(frame)  # raises nothing
    decoding = Decoding(connector.decode, connector.decode_many, clock=None, silence=None, secondary=False)
    batch = decoding.decode(groups, lambda: None)
    balance(batch)
    assert any(batch.ticks.positions >= groups[-1].position), "the good tick"
    assert contents(batch) == contents(decode_groups(groups, connector.decode, None, ProviderClocks()))
    if len(groups) > 1:
        for half in batch.halves():
            balance(half)
    balance(AskedSymbols(connector, ["AAPL", "BTC-USD"]).reject_others(batch))


REQUIRED = {"event", "symbol", "timestamp", "price", "ev", "sym", "p", "t", "pair", "a", "b", "T", "val"}
REQUIRED |= {"type", "product_id", "time", "message", "reason"}


@st.composite
def odd_fields(draw: st.DrawFn) -> tuple[Provider, bytes]:
    """A tick of which an optional field has any value that JSON can have."""
    provider = PROVIDERS[draw(st.sampled_from(sorted(PROVIDERS)))]
    (first,) = provider.events[:1]
    # Conditions may make a trade an official price.
    optional = sorted(
        (first.keys() | {"exchange", "mic_code", "currency", "bid", "new"}) - REQUIRED - provider.required - {"c"}
    )
    fields = {**first, draw(st.sampled_from(optional)): draw(values.filter(is_json))}
    return provider, one_event(provider, fields)


def is_json(value: bytes) -> bool:
    try:
        json.loads(value.decode())  # not of bytes: those may begin with a byte order mark
    except (ValueError, RecursionError):
        return False
    return True


def check_optional(frame_of: tuple[Provider, bytes]) -> None:
    provider, frame = frame_of
    connector = provider.connector
    (event,) = connector.decode(frame)
    assert isinstance(event, Tick), event
    many = connector.decode_many([frame, frame])
    assert many is None or many.counts == [1, 1]
    batch = decode_groups([FrameGroup(0, len(frame), 1, 1, [time.time_ns()], [frame], 0)], connector.decode)
    assert "stocks_real_time" in prepare(batch, TradeMemory(), LEASE).encoded


def contents(batch: DecodedBatch) -> list[tuple[int, object]]:
    """The events of a batch, by position."""
    stored = [pair for _, rows in batch.tables for pair in zip(rows.positions.tolist(), rows.as_events(), strict=True)]
    return sorted([*stored, *((event.position, event) for event in batch.rejected)], key=lambda pair: pair[0])


def balance(batch: DecodedBatch) -> None:
    """The account of a batch of which everything is stored that can be."""
    prepared = prepare(batch, TradeMemory(), LEASE)
    batch = prepared.batch
    every = [rows for _, rows in batch.tables]
    entries = ledger.entries(batch, loaded=every, rejected=batch.rejected)
    for entry in entries:
        assert entry.events == entry.loaded + entry.rejected + entry.control
    assert sum(entry.frames for entry in entries) == sum(len(group.frames) for group in batch.groups)
    positions = [position for rows in every for position in rows.positions.tolist()]
    positions += [event.position for event in batch.rejected]
    assert max(Counter(positions).values(), default=0) <= 1, "an event is there twice"
    assert all(batch.groups[0].position <= position < batch.end for position in positions)
    assert len(prepared.repeats) < max(1, len(batch.ticks.events))


@QUICK
@given(delivery=deliveries())
def test_every_event_is_in_the_account(delivery: tuple[Provider, list[FrameGroup]]) -> None:
    check(delivery)


@pytest.mark.full
@THOROUGH
@given(delivery=deliveries())
def test_every_event_of_many_more_is_in_the_account(delivery: tuple[Provider, list[FrameGroup]]) -> None:
    check(delivery)


@QUICK
@given(frame_of=odd_fields())
def test_an_optional_field_costs_no_price(frame_of: tuple[Provider, bytes]) -> None:
    check_optional(frame_of)


@pytest.mark.full
@THOROUGH
@given(frame_of=odd_fields())
def test_an_optional_field_of_many_more_costs_no_price(frame_of: tuple[Provider, bytes]) -> None:
    check_optional(frame_of)
