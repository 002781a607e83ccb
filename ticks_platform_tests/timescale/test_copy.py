"""The binary COPY encoder, judged by the database that reads it."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticks_platform.timescale import copy
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.any_frames import QUICK, THOROUGH

Kind = tuple[Callable[[Sequence[object]], copy.AnyColumn], Callable[[object], bytes], st.SearchStrategy[object]]
"""How a column is made of values, how one of them is sent, and which values there are; None is NULL."""


def by_dictionary(values: Sequence[object]) -> copy.TextColumn:
    words = [b"of no row" * 40, *dict.fromkeys(values)]
    return copy.TextColumn(np.array([words.index(value, 1) for value in values], np.intp), words)  # type: ignore[arg-type]


def numbers(values: Sequence[object]) -> np.typing.NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


TEXTS = st.one_of(
    st.none(), st.text("aé🙂", max_size=6), st.sampled_from((30, 255, 256, 257, 3000)).map(lambda n: "x" * n)
)
KINDS: list[Kind] = [
    (lambda values: copy.Null(len(values)), bytes, st.none()),
    (lambda values: copy.timestamptz(np.array(values, np.int64)),
     lambda value: struct.pack(">q", value // 1000 - 946_684_800_000_000), st.integers(0, 2**62)),  # type: ignore[operator]
    (lambda values: copy.float8(numbers(values)), lambda value: struct.pack(">d", value),
     st.sampled_from((None, 1.5, -0.0))),
    (lambda values: copy.float8(numbers(values)), lambda value: struct.pack(">d", value), st.floats(allow_nan=False)),
    (lambda values: copy.int2(numbers(values)), lambda value: struct.pack(">h", value),
     st.sampled_from((None, -7, 32767))),
    (lambda values: copy.text(values), lambda value: value.encode(), TEXTS),  # type: ignore[arg-type, attr-defined]
    (lambda values: copy.text(values), lambda value: value.encode(), st.text("0123456789", min_size=1, max_size=9)),  # type: ignore[arg-type, attr-defined]
    (by_dictionary, bytes, st.one_of(st.none(), st.binary(max_size=12), st.just(b"w" * 300))),  # type: ignore[arg-type]
    (by_dictionary, bytes, st.just(b"one word")),  # type: ignore[arg-type]
    (lambda values: copy.TextColumn(np.zeros(len(values), np.intp), [values[0]]), bytes, st.just(b"the feed")),  # type: ignore[list-item, arg-type]
]  # fmt: skip


@st.composite
def _tables(draw: st.DrawFn) -> tuple[list[tuple[Kind, list[object]]], list[int]]:
    """Columns of the same number of rows, and an order of them."""
    rows = draw(st.sampled_from((1, 1, 2, 3, 8, 30)))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=14))
    table = [(kind, draw(st.lists(kind[2], min_size=rows, max_size=rows))) for kind in kinds]
    return table, draw(st.permutations(range(rows)))


TABLES = _tables()


def row_by_row(table: list[tuple[Kind, list[object]]]) -> bytes:
    """What the manual says, one field after the other (PostgreSQL, COPY, "Binary Format")."""
    parts = [b"PGCOPY\n\xff\r\n\0", bytes(8)]
    for row in zip(*(values for _, values in table), strict=True):
        parts.append(struct.pack(">h", len(table)))
        for (kind, _), value in zip(table, row, strict=True):
            sent = None if value is None else kind[1](value)
            parts.append(struct.pack(">i", -1) if sent is None else struct.pack(">i", len(sent)) + sent)
    return b"".join([*parts, b"\xff\xff"])


def assert_encoded(table: list[tuple[Kind, list[object]]], order: list[int]) -> None:
    columns = [kind[0](values) for kind, values in table]
    assert copy.encode(columns) == row_by_row(table)
    ordered = [(kind, [values[place] for place in order]) for kind, values in table]
    assert copy.encode(columns, np.array(order)) == row_by_row(ordered)


@QUICK
@given(TABLES)
def test_any_rows_are_encoded_as_one_by_one(drawn: tuple[list[tuple[Kind, list[object]]], list[int]]) -> None:
    assert_encoded(*drawn)


@pytest.mark.full
@THOROUGH
@given(TABLES)
def test_many_rows_are_encoded_as_one_by_one(drawn: tuple[list[tuple[Kind, list[object]]], list[int]]) -> None:
    assert_encoded(*drawn)


def test_every_mix_of_lengths_and_nulls_arrives_as_it_was(database: Database) -> None:
    seeded = random.Random(11)
    words = ["A", "MSFT", "BTC/USD", "Ж€", "x" * 300, ""]
    rows = [
        (
            seeded.choice(words),
            seeded.choice([None, 0.0, -1.5, 1e300, 42.25]),
            seeded.choice([None, 0, -7, 2**15 - 1]),
            seeded.choice([None, (), (37,), (14, -41, 2**15 - 1)]),
            seeded.randrange(0, 2_000_000_000) * 1_000_000_000 + seeded.randrange(1_000_000) * 1000,
        )
        for _ in range(5_000)
    ]
    text = copy.TextColumn(np.array([words.index(row[0]) for row in rows]), [word.encode() for word in words])
    distinct = list({row[3] for row in rows})
    arrays = copy.TextColumn(
        np.array([distinct.index(row[3]) for row in rows]),
        [None if numbers is None else copy.int2_array(numbers) for numbers in distinct],
    )
    encoded = copy.encode(
        (
            text,
            copy.float8(np.array([row[1] for row in rows], dtype=np.float64)),
            copy.int2(np.array([row[2] for row in rows], dtype=np.float64)),
            arrays,
            copy.timestamptz(np.array([row[4] for row in rows], dtype=np.int64)),
        )
    )

    with database.transaction() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE arrived (word text, number float8, whole int2, numbers int2[], at timestamptz) "
            "ON COMMIT DROP"
        )
        cursor.copy_expert("COPY arrived FROM STDIN (FORMAT binary)", io.BytesIO(encoded))
        cursor.execute("SELECT word, number, whole, numbers, (extract(epoch FROM at) * 1000000)::bigint FROM arrived")
        arrived = cursor.fetchall()

    def key(row: tuple[object, ...]) -> str:
        return repr(row)

    assert sorted(arrived, key=key) == sorted(
        ((w, f, i, n if n is None else list(n), at // 1000) for w, f, i, n, at in rows), key=key
    )


def test_rows_of_one_layout_need_no_sorting() -> None:
    encoded = copy.encode((copy.float8(np.array([1.0, 2.0])), copy.TextColumn(np.array([0, 0]), [b"ab"])))
    assert len(encoded) == 19 + 2 * (2 + 4 + 8 + 4 + 2) + 2


def test_no_rows_are_an_empty_copy() -> None:
    assert copy.encode((copy.float8(np.array([])),)) == b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff"


def test_microseconds_are_kept_and_nanoseconds_cut() -> None:
    moment = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=timezone.utc)
    nanoseconds = int(moment.timestamp()) * 1_000_000_000 + 123_456_789
    (value,) = copy.timestamptz(np.array([nanoseconds])).values.tolist()
    assert value == (moment - datetime(2000, 1, 1, tzinfo=timezone.utc)).total_seconds() * 1e6


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None],
        [None, None, None],
        [""],
        ["", None, ""],
        [None, "a"],
        ["a", None, "bc", "", "Ж€", "🙂", None, " ", "a b\t\n\\.", "x" * 10_000, "a"],
        ["12345678"] * 100,
        [f"{number:08}" for number in range(1000)],
        [str(number) if number % 7 else None for number in range(2000)],
        ["naïve", "naive", "日本", "a" * 6],
    ],
)
def test_free_text_arrives_as_it_was(database: Database, values: list[str | None]) -> None:
    """With columns of other kinds at its sides, so that a wrong length would show."""
    numbers = np.arange(len(values), dtype=np.float64)
    words: list[bytes | None] = [b"even", b"", None]
    encoded = copy.encode(
        (
            copy.int2(numbers),
            copy.text(values),
            copy.TextColumn(np.arange(len(values)) % 3, words),
            copy.float8(np.where(numbers % 2 == 0, numbers, np.nan)),
            copy.text([value and value[::-1] for value in values]),
        )
    )
    with database.transaction() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE arrived (number int2, value text, word text, half float8, back text) ON COMMIT DROP"
        )
        cursor.copy_expert("COPY arrived FROM STDIN (FORMAT binary)", io.BytesIO(encoded))
        assert cursor.rowcount == len(values)
        cursor.execute("SELECT * FROM arrived ORDER BY number")
        arrived = cursor.fetchall()
    assert arrived == [
        (
            number,
            value,
            ("even", "", None)[number % 3],
            None if number % 2 else float(number),
            value and value[::-1],
        )
        for number, value in enumerate(values)
    ]


def test_one_long_value_makes_the_others_no_longer() -> None:
    """A frame may hold a megabyte of anything, and a batch tens of thousands of rows."""
    values = ["x" * 1_000_000, *[str(number) for number in range(20_000)]]
    column = np.arange(len(values))
    tracemalloc.start()
    encoded = copy.encode((copy.text(values), copy.TextColumn(column, [value.encode() for value in values])))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(encoded) < 3_000_000
    assert peak < 50_000_000
