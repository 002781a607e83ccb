"""Values that numpy reads by column are those of the `csv` module, `int` and `float`, or are refused."""

from __future__ import annotations

import csv
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ticks_platform.feeds.plain_rows import PlainRows

_VALUES = st.one_of(
    st.sampled_from(["", "0", "12,37", "142.990000", ".5", "5.", ".", "1e5", "-1", "é", "a b", '"', "x\ty", "NA"]),
    st.integers(0, 10**20).map(str),
    st.decimals(0, 10**9, allow_nan=False, places=6).map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
)


@given(
    rows=st.lists(st.tuples(_VALUES, _VALUES, _VALUES), min_size=1, max_size=6),
    ending=st.sampled_from(["\n", "\r\n"]),
    whole=st.booleans(),
)
@example(rows=[("1", "2", "3")], ending="\r\n", whole=True)
@example(rows=[("a", "12,37", "1.5"), ("b", "", "22.25")], ending="\n", whole=False)
def test_values_are_those_of_the_csv_module(rows: list[tuple[str, str, str]], ending: str, *, whole: bool) -> None:
    lines = [",".join(f'"{value}"' if "," in value else value for value in row) for row in rows]
    text = ending.join(lines) + (ending if whole else "")
    found = PlainRows.of(text.encode(), 3)
    if found is None:
        return
    expected = list(csv.reader(text.replace("\r\n", "\n").removesuffix("\n").split("\n"), strict=True))
    assert len(found) == len(expected)
    for column in range(3):
        values = [row[column] for row in expected]
        assert found.texts(column) == values
        coded = found.coded(column)
        assert coded is not None
        assert [coded[1][place] for place in coded[0].tolist()] == [(value,) for value in values]
        numbers = found.whole_numbers(column)
        if numbers is not None:
            assert numbers.tolist() == list(map(int, values))
        decimals = found.decimals(column)
        if decimals is not None:
            read = [float(value) if value else math.nan for value in values]
            assert [str(number) for number in decimals.tolist()] == list(map(str, read))
    both = found.coded(0, 2)
    assert both is not None
    assert [both[1][place] for place in both[0].tolist()] == [(row[0], row[2]) for row in expected]


def rows(*lines: str) -> PlainRows | None:
    columns = lines[0].count(",") + 1
    return PlainRows.of("\n".join(lines).encode() + b"\n", columns)


@pytest.mark.parametrize(
    "lines",
    [
        ("a,b", "c"),
        ("a,b", "c,d,e"),
        ('a,b"c"',),
        ('a,"b""c"',),
        ('a,"b', 'c,"d'),
        ('"a"b,c',),
        ("a,b", ""),
        ("a,b\0",),
        ("a,b\r", "c,d"),
    ],
)
def test_odd_rows_are_refused(lines: tuple[str, ...]) -> None:
    assert rows(*lines) is None


@pytest.mark.parametrize("value", ["1e5", "-1", "nan", "1_0", " 1", "1.2.3", ".", "٣", "1" * 16])
def test_numbers_in_another_notation_are_refused(value: str) -> None:
    found = rows("1.25,x", f"{value},x")
    assert found is not None
    assert found.decimals(0) is None


def test_decimals_are_rounded_as_float_does() -> None:
    values = ["142.99", "0.1", "0.3", "123456789.123456", "9007199254.99", "", "7", "99999999999999.9"]
    found = rows(*(f"{value},x" for value in values))
    assert found is not None
    decimals = found.decimals(0)
    assert decimals is not None
    assert decimals.tolist()[:5] == list(map(float, values[:5]))
    assert math.isnan(decimals[5])
    assert decimals.tolist()[6:] == list(map(float, values[6:]))


def test_whole_numbers_beyond_64_bits_are_refused() -> None:
    found = rows("9223372036854775808,1712306654208740096", "1,2")
    assert found is not None
    assert found.whole_numbers(0) is None
    assert (found.whole_numbers(1) == [1712306654208740096, 2]).all()  # type: ignore[union-attr]
