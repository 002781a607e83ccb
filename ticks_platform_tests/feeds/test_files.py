"""Rows of files are decoded as what they are, one by one or many at once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticks_platform.feeds import csv_rows, file_formats
from ticks_platform.feeds.events import Rejected, Tick
from ticks_platform.feeds.files import FileHeader, as_frame
from ticks_platform.feeds.polygon.flat_file import TRADES
from ticks_platform.feeds.polygon.history import trade
from ticks_platform_tests.support.importing import text_of

FLAT = file_formats.decoder(file_formats.POLYGON)
CSV = file_formats.decoder(file_formats.CSV)

# Rows that the provider's tutorial shows, and rows of September 2026, in which numbers have decimals.
SHOWN = b"""\
A,"12,37",0,11,52983525035312,1712306654208705342,142.99,3807,1712306654208740096,5,1,0,0
A,12,0,11,52983525035314,1712306654429439337,143,3809,1712306654429468160,187,1,0,0
A,"12,37",0,4,71675222901845,1789718400814766587,157.350000,3372,1789718400831008119,10.000000,1,202,1789718400830651291
"""


def flat(lines: bytes, columns: tuple[str, ...] = TRADES) -> bytes:
    return as_frame(FileHeader(file_formats.POLYGON, "day.csv", 2, columns), lines)


def test_rows_as_the_provider_shows_them() -> None:
    assert FLAT.decode(flat(SHOWN)) == [
        Tick("A", 1712306654208000000, 142.99, None, 5.0, None, None, "11", "52983525035312", 4, (12, 37)),
        Tick("A", 1712306654429000000, 143.0, None, 187.0, None, None, "11", "52983525035314", None, (12,)),
        Tick("A", 1789718400831000000, 157.35, None, 10.0, None, None, "4/202", "71675222901845", 4, (12, 37)),
    ]


_rows = st.fixed_dictionaries(
    {
        "ticker": st.sampled_from(["A", "BRK.B", ""]),
        "conditions": st.sampled_from(["", "12", "12,37", "14,41", "16", "15,9", "x", "12,", "99999"]),
        "correction": st.sampled_from(["0", "0", "0", "", "1", "7", "8", "10", "11", "12", "13", "x"]),
        "exchange": st.sampled_from(["4", "11", "", "X"]),
        "id": st.sampled_from(["1", "52983525035312", "0", "", "é"]),
        "participant_timestamp": st.sampled_from(["0", "1712306654208705342"]),
        "price": st.sampled_from(["1", "142.990000", "1e2", "nan", "inf", "-1", "", "x", "1_0", " 1"]),
        "sequence_number": st.just("1"),
        "sip_timestamp": st.sampled_from(["1712306654208740096", "0", "-5", "1.5", "", "9" * 30, "x"]),
        "size": st.sampled_from(["5", "0.000100", "", "x", "1_0", "inf"]),
        "tape": st.sampled_from(["1", "3", "", "x"]),
        "trf_id": st.sampled_from(["0", "202", "", "x"]),
        "trf_timestamp": st.just("0"),
    }
)


@given(rows=st.lists(_rows, min_size=1, max_size=4))
def test_many_at_once_are_the_same_as_one_by_one(rows: list[dict[str, str]]) -> None:
    frame = flat(text_of(rows).partition("\n")[2].encode())
    one_by_one = FLAT.decode(frame)
    assert len(one_by_one) >= len(rows)
    try:
        many = FLAT.decode_many([frame, frame])
    except Exception:  # noqa: BLE001  (then the loader calls `decode`)
        return
    if many is not None:
        assert many.events.ticks() == one_by_one * 2  # type: ignore[union-attr]
        assert list(many.counts) == [len(rows)] * 2


@given(row=_rows)
def test_a_row_is_the_trade_that_the_history_has(row: dict[str, str]) -> None:
    """What both can say: REST leaves out what is empty, and the TRF of a trade that has none."""
    numbers = ("correction", "exchange", "participant_timestamp", "price", "sip_timestamp", "size", "tape", "trf_id")
    fields: dict[str, Any] = {name: row[name] for name in row if row[name]}
    try:
        fields |= {name: msgspec.convert(fields[name], float, strict=False) for name in numbers if name in fields}
        fields |= {name: int(row[name]) for name in numbers if name in fields and name not in ("price", "size")}
        fields |= {"conditions": [int(each) for each in row["conditions"].split(",")]} if row["conditions"] else {}
    except ValueError:
        return
    # JSON has neither of these.
    if {row["price"], row["size"]} & {"inf", "nan", "1_0"}:
        return
    if not all(row[name] for name in ("ticker", "price", "sip_timestamp")):
        return
    if row["trf_id"] == "0":
        del fields["trf_id"]
    found = FLAT.decode(flat(text_of([row]).partition("\n")[2].encode()))
    expected = trade(row["ticker"], msgspec.json.encode(fields), "stocks")
    assert [event for event in found if not isinstance(event, Rejected)] == [
        event for event in expected if not isinstance(event, Rejected)
    ]


@given(lines=st.binary(max_size=200))
def test_no_bytes_of_a_file_raise(lines: bytes) -> None:
    for decoder, name, columns in ((FLAT, "polygon-flat-file", TRADES), (CSV, "csv", ("time", "symbol", "price"))):
        frame = as_frame(FileHeader(name, "f", 2, columns, "iso"), lines)
        for place, event in enumerate(decoder.decode(frame)):
            assert decoder.origin(frame, place).startswith("f, line ")
            assert not isinstance(event, Rejected) or event.raw.startswith(b'{"import":')


@pytest.mark.parametrize(
    ("text", "times", "nanoseconds"),
    [
        ("2024-04-05T13:30:00Z", "iso", 1712323800_000000000),
        ("2024-04-05 13:30:00", "iso", 1712323800_000000000),
        ("2024-04-05T13:30:00.123456789Z", "iso", 1712323800_123456789),
        ("2024-04-05T09:30:00.5-0400", "iso", 1712323800_500000000),
        ("2024-04-05T09:30:00-04:00", "iso", 1712323800_000000000),
        ("1712323800", "s", 1712323800_000000000),
        ("1712323800.123456789", "s", 1712323800_123456789),
        ("1712323800123.5", "ms", 1712323800_123500000),
        ("1712323800123456", "us", 1712323800_123456000),
        ("1712323800123456789", "ns", 1712323800_123456789),
    ],
)
def test_times(text: str, times: str, nanoseconds: int) -> None:
    assert csv_rows.nanoseconds(text, times) == nanoseconds


@pytest.mark.parametrize(
    ("text", "times"), [("soon", "iso"), ("2024-13-05T13:30:00Z", "iso"), ("-1", "s"), ("1e9", "s"), ("", "ns")]
)
def test_what_is_no_time(text: str, times: str) -> None:
    with pytest.raises(ValueError, match=r"time|month"):
        csv_rows.nanoseconds(text, times)
