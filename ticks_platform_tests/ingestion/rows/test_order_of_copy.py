"""A large batch is copied in the order in which the columnstore keeps it; a small one as it came."""

from __future__ import annotations

import random
import struct
from typing import NamedTuple

import numpy as np
import pytest

from ticks_platform.feeds.coded import Coded
from ticks_platform.feeds.columns import TickColumns
from ticks_platform.ingestion.rows import duplicate_trades
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.tables import TICKS, Rows
from ticks_platform.timescale.columnstore import WORTHWHILE_ROWS

DAY = 1_700_000_000_000_000_000


class Copied(NamedTuple):
    symbol: str
    time: int
    tick_id: bytes
    trade_id: str
    conditions: bytes


def trades(count: int) -> Rows:
    """Trades of two dozen symbols, some late, several of one moment; with codes of symbols and conditions."""
    seeded = random.Random(5)
    symbols = [seeded.choice(["BRK.B", "A", "MSFT", *(f"S{number}" for number in range(20))]) for _ in range(count)]
    times = [DAY + (number // 7 - seeded.choice((0, 0, 0, 900))) * 1_000_000 for number in range(count)]
    columns = TickColumns(
        Coded.of([*symbols, "\ud800"]).where(np.arange(count + 1) < count),
        np.array(times),
        np.full(count, 1.5),
        trade_id=[f"{seeded.randrange(10 ** (1 + number % 9))}-{number}" for number in range(count)],
        conditions=Coded.of([seeded.choice((None, (12,), (14, 41))) for _ in range(count)]),
    )
    return Rows(columns, np.arange(count) * 3, np.full(count, DAY))


def copied(rows: Rows) -> list[Copied]:
    """The rows of the COPY, read field by field."""
    assert TICKS.encode is not None
    data = TICKS.encode(rows, "feed", 7)
    at, found = 19, []
    while data[at : at + 2] != b"\xff\xff":
        at += 2
        fields: dict[str, bytes] = {}
        for name in TICKS.columns:
            (length,) = struct.unpack_from(">i", data, at)
            fields[name] = data[at + 4 : at + 4 + max(length, 0)]
            at += 4 + max(length, 0)
        (time,) = struct.unpack(">q", fields["time"])
        texts = fields["symbol"].decode(), fields["trade_id"].decode()
        found.append(Copied(texts[0], time, fields["tick_id"], texts[1], fields["conditions"]))
    return found


def arrived(count: int) -> list[Copied]:
    """The same rows, copied in the order of their arrival: in parts that are too small to be sorted."""
    rows = trades(count)
    parts = [rows.part(begin, begin + 4_000) for begin in range(0, count, 4_000)]
    return [row for part in parts for row in copied(part)]


def test_a_large_batch_is_sorted_and_whole() -> None:
    expected = arrived(WORTHWHILE_ROWS)
    assert [row.trade_id for row in expected] == trades(WORTHWHILE_ROWS).column("trade_id")
    found = copied(trades(WORTHWHILE_ROWS))
    assert sorted(found) == sorted(expected)
    # PostgreSQL compares UUIDs byte by byte.
    newest_first = sorted(expected, key=lambda row: (row.time, row.tick_id), reverse=True)
    assert found == sorted(newest_first, key=lambda row: row.symbol)


def test_a_small_batch_and_one_of_many_symbols_stay_as_they_came() -> None:
    assert copied(trades(WORTHWHILE_ROWS - 1)) == arrived(WORTHWHILE_ROWS - 1)
    rows = trades(WORTHWHILE_ROWS)
    assert isinstance(rows.events, TickColumns)
    names = Coded.of([f"S{number % 600}" for number in range(WORTHWHILE_ROWS)])
    columns = TickColumns(names, rows.events.time, rows.events.price, trade_id=rows.events.trade_id)
    assert [row.symbol for row in copied(rows._replace(events=columns))] == list(names)


@pytest.mark.parametrize("coded_first", [True, False])
def test_a_trade_is_known_again_by_codes_and_without(coded_first: bool) -> None:
    coded = trades(50)
    plain = Rows(coded.as_events(), coded.positions + 1_000, coded.received_at)
    memory = TradeMemory()
    first, again = (coded, plain) if coded_first else (plain, coded)
    repeats, suspects = memory.suspects(first)
    assert (repeats, list(suspects)) == ([], [])
    repeats, suspects = memory.suspects(again)
    assert repeats == []
    assert [suspect.place for suspect in suspects if suspect.seen] == list(range(50))


def test_hashes_of_rows_tell_columns_apart() -> None:
    different = [
        ("A", None, "1"),
        (None, "A", "1"),
        ("1", None, "A"),
        ("A", "1", None),
        ("A1", None, ""),
        ("A", "A", "A"),
    ]
    hashes = duplicate_trades._hashes([*zip(*different, strict=True)])
    assert len(set(hashes.tolist())) == len(different)
