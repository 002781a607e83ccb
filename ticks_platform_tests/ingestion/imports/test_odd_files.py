"""Files as people have them: with odd line ends, of odd days and units, empty, several at once."""

from __future__ import annotations

import gzip
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ticks_platform.ingestion.imports.file_frames import FileError
from ticks_platform.ingestion.imports.options import Imported, Options
from ticks_platform.ingestion.imports.settle import settle
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.importing import CSV, OPENING, import_files, stocks, text_of, trades, write
from ticks_platform_tests.support.ingestion import rows, unbalanced

AT = int(OPENING.timestamp())


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_line_ends_of_windows_and_a_byte_order_mark(database: Database, tmp_path: Path, ends: str) -> None:
    lines = ["time,symbol,price,exchange,note", *(f'{AT + n},AAPL,{n}.25,X,"a,b"' for n in range(300))]
    file = tmp_path / "excel.csv"
    file.write_bytes(b"\xef\xbb\xbf" + ends.join(lines).encode())
    (done,) = import_files(database, stocks("AAPL"), file, options=CSV._replace(times="s"))
    assert (done.metrics.loaded, done.metrics.rejected) == (300, 0)
    assert rows(database, "SELECT sum(price), array_agg(DISTINCT exchange) FROM stocks_real_time") == [
        (sum(range(300)) + 75.0, ["X"])
    ]
    assert unbalanced(database) == []


def test_flat_files_with_line_ends_of_windows(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "day.csv.gz"
    file.write_bytes(gzip.compress(text_of(trades("AAPL", 500)).replace("\n", "\r\n").encode()))
    (done,) = import_files(database, stocks("AAPL"), file)
    assert (done.metrics.loaded, done.metrics.rejected) == (500, 0)


@pytest.mark.parametrize("contents", [b"", b"\n", b"\xef\xbb\xbf", b"\x1f\x8b"])
def test_an_empty_file_is_said(database: Database, tmp_path: Path, contents: bytes) -> None:
    file = tmp_path / "empty.csv"
    file.write_bytes(contents)
    with pytest.raises(FileError, match=r"no first line|cannot be unpacked"):
        import_files(database, stocks("AAPL"), file, options=CSV)


def test_a_file_without_rows_is_a_day_without_trades(database: Database, tmp_path: Path) -> None:
    file = write(tmp_path / "day.csv", text_of([]))
    assert import_files(database, stocks("AAPL"), file)[0].is_complete
    assert import_files(database, stocks("AAPL"), file)[0].was_known
    assert settle(database, stocks("AAPL"), owner="test").days == 0


def test_numbers_in_scientific_notation(database: Database, tmp_path: Path) -> None:
    text = f"time,symbol,price,size\n{AT},AAPL,1.5e2,1e+02\n{AT + 1},AAPL,151,2\n{AT}e0,AAPL,1,1\n"
    (done,) = import_files(
        database, stocks("AAPL"), write(tmp_path / "mine.csv", text), options=CSV._replace(times="s")
    )
    assert (done.metrics.loaded, done.metrics.rejected) == (2, 1)
    assert rows(database, "SELECT price, size FROM stocks_real_time ORDER BY time") == [(150, 100), (151, 2)]
    assert rows(database, "SELECT reason FROM ticks_platform.rejected_event") == [
        (f"mine.csv, line 4: the time is no number: {AT}e0",)
    ]


@pytest.mark.parametrize(
    ("times", "unit", "reason"),
    [
        ("us", 10**9, r"after its arrival|the time is not from 1677 to 2262"),
        ("ns", 10**6, "before 1990"),
        ("iso", 1, "not of the form"),
    ],
)
def test_times_of_another_unit_are_no_million_rejected_rows(
    database: Database, tmp_path: Path, times: str, unit: int, reason: str
) -> None:
    text = "time,symbol,price\n" + "".join(f"{(AT + n) * unit},AAPL,1\n" for n in range(3000))
    file = write(tmp_path / "mine.csv.gz", text)
    with pytest.raises(FileError, match=rf"none of its first rows can be stored.*({reason})"):
        import_files(database, stocks("AAPL"), file, options=CSV._replace(times=times))
    assert rows(database, "SELECT count(*) FROM ticks_platform.rejected_event") == [(0,)]
    right = {10**9: "ns", 10**6: "us", 1: "s"}[unit]
    (done,) = import_files(database, stocks("AAPL"), file, options=CSV._replace(times=right))
    assert done.metrics.loaded == 3000


@pytest.mark.parametrize("times", ["s", "ms", "us", "ns", "iso"])
def test_many_rows_are_what_one_by_one_they_are(database: Database, tmp_path: Path, times: str) -> None:
    """Read by column; the row with a size in another notation makes its frames be read one by one."""
    unit = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "iso": 0}[times]
    made = []
    for number in range(400):
        at = AT + number
        time = datetime.fromtimestamp(at, timezone.utc).isoformat() if times == "iso" else at * unit
        condition = ["", '"12,37"', "7"][number % 3]
        made.append(f"{time},AAPL,{number / 8},{number % 4 or ''},{'XY'[number % 2]},{condition},id{number}")
    head = "time,symbol,price,size,exchange,conditions,trade_id\n"
    columns = "time, symbol, price, size, exchange, conditions, trade_id"
    feeds = {}
    for name, odd in (("plain", []), ("odd", [made[0].replace(",0.0,", ",0e0,").replace("id0", "other")])):
        feed = stocks("AAPL", name=name)
        file = write(tmp_path / f"{name}.csv", head + "\n".join([*made, *odd]) + "\n")
        (done,) = import_files(database, feed, file, options=Options("csv", times=times))
        assert done.metrics.rejected == 0
        feeds[name] = rows(
            database,
            f"SELECT {columns} FROM stocks_real_time WHERE feed = '{name}' AND trade_id <> 'other' ORDER BY time",
        )
    assert len(feeds["plain"]) == 400
    assert feeds["plain"] == feeds["odd"]


def test_two_imports_at_once_take_turns(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticks_platform.ingestion.imports.files._LEASE_INTERVAL", 0.02)
    feed = stocks("AAPL", "MSFT")
    both = write(tmp_path / "both.csv", text_of([*trades("AAPL", 400), *trades("MSFT", 400)]))
    one = write(tmp_path / "one.csv", text_of(trades("MSFT", 500)[:300]))
    found: list[Imported] = []
    importing = [
        threading.Thread(target=lambda files=files: found.extend(import_files(database, feed, *files)))
        for files in ((both, one), (one, both))
    ]
    for each in importing:
        each.start()
    for each in importing:
        each.join(60)
    assert sorted(done.was_known for done in found) == [False, False, True, True]
    assert sum(done.metrics.loaded for done in found) == len(rows(database, "SELECT FROM stocks_real_time"))
    assert unbalanced(database) == []


@pytest.mark.parametrize("day", ["2024-03-10", "2024-11-03"])
def test_a_flat_file_fills_a_day_of_23_or_25_hours(database: Database, tmp_path: Path, day: str) -> None:
    """Files of days out of order, too: the day after is imported first."""
    offset = {"2024-03-10": (5, 4), "2024-11-03": (4, 5)}[day]
    begin = datetime.fromisoformat(f"{day}T{offset[0]:02}:00:00+00:00")
    end = datetime.fromisoformat(f"{day}T{offset[1]:02}:00:00+00:00") + timedelta(days=1)
    feed = stocks("AAPL")
    after = write(tmp_path / "after.csv", text_of(trades("AAPL", 20, begin=end + timedelta(hours=9))))
    file = write(tmp_path / "day.csv", text_of(trades("AAPL", 20, begin=begin + timedelta(hours=9))))
    import_files(database, feed, after, file)
    with database.transaction() as cursor:
        for first, last in (
            (begin + timedelta(seconds=30), begin + timedelta(minutes=5)),
            (end - timedelta(minutes=5), end - timedelta(seconds=30)),
            (end + timedelta(hours=24, minutes=5), end + timedelta(hours=24, minutes=6)),
        ):
            cursor.execute(
                "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
                "VALUES ('stocks', 'AAPL', %s, %s, 'disconnected')",
                (first, last),
            )
    done = settle(database, feed, owner="test")
    assert (done.files, done.gaps) == (2, 2)
    assert rows(database, "SELECT state FROM ticks_platform.feed_gap ORDER BY begins_at") == [
        ("repaired",),
        ("repaired",),
        ("open",),
    ]
