"""What exchange_calendars says of an exchange, and the copy of it in the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from ticks_platform.feeds import exchange_sessions
from ticks_platform.feeds.calendars import UnknownCalendarError, calendar, is_same_market
from ticks_platform.feeds.exchange_sessions import exchange

_NAMES = ("XNYS", "NASDAQ", "XTKS", "us_futures")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TICKS_CACHE_DIR", str(tmp_path))
    exchange.cache_clear()
    calendar.cache_clear()  # it may be of a copy that an earlier day left in the user's cache
    return tmp_path / "exchanges"


def process(code: str, folder: Path) -> list[str]:
    """The lines that a process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TICKS_CACHE_DIR": str(folder)},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", _NAMES)
def test_a_copy_says_the_same(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = exchange(name)
    exchange.cache_clear()
    monkeypatch.setattr(exchange_sessions, "_read", lambda name: pytest.fail(f"{name} was read again"))
    assert exchange(name) == first
    assert [file.name for file in cache.iterdir()] == [f"{name}.json"]


def test_pandas_is_imported_by_the_first_process_alone(tmp_path: Path) -> None:
    """It costs a process 46 MB and half a second."""
    code = (
        "import sys, ticks_platform.cli.ingest, ticks_platform.cli.status\n"
        "from ticks_platform.feeds.calendars import calendar, is_same_market\n"
        "for name in ('always', '24/5', 'XNYS 04:00-20:00'):\n"
        "    print(calendar(name).name, 'pandas' in sys.modules)\n"
        "assert is_same_market('NASDAQ', 'XNYS')\n"
        "print([name for name in ('sqlalchemy', 'dagster', 'requests', 'pandas') if name in sys.modules])\n"
    )
    first, second = process(code, tmp_path), process(code, tmp_path)
    assert first[:3] == ["always False", "24/5 False", "XNYS 04:00-20:00 True"]
    assert second == ["always False", "24/5 False", "XNYS 04:00-20:00 False", "[]"]


@pytest.mark.parametrize("change", ["age", "the clock was set back", "version", "half of it", "another program's"])
def test_what_cannot_be_used_is_read_again(change: str, cache: Path) -> None:
    found = exchange("XTKS")
    file = cache / "XTKS.json"
    copy = msgspec.json.decode(file.read_bytes(), type=exchange_sessions._Copy)
    wrong = copy._replace(exchange=copy.exchange._replace(openings=[]))
    now = datetime.now(timezone.utc)
    written = {
        "age": msgspec.json.encode(wrong._replace(read_at=now - timedelta(days=7, seconds=1))),
        "the clock was set back": msgspec.json.encode(wrong._replace(read_at=now + timedelta(hours=1))),
        "version": msgspec.json.encode(wrong._replace(version="4.4")),
        "half of it": file.read_bytes()[: len(file.read_bytes()) // 2],
        "another program's": b"{}",
    }
    file.write_bytes(written[change])
    exchange.cache_clear()
    assert exchange("XTKS") == found
    assert msgspec.json.decode(file.read_bytes(), type=exchange_sessions._Copy).exchange == found


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TICKS_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert exchange("XTKS").openings


@pytest.mark.parametrize("name", ["XNOPE", "../XNYS", "a b", "XNYS\n", ""])
def test_what_is_no_exchange_leaves_no_file(name: str, cache: Path) -> None:
    with pytest.raises(UnknownCalendarError, match="unknown calendar"):
        exchange(name)
    assert not cache.exists()


def test_names_of_one_exchange_are_one_market() -> None:
    assert is_same_market("NASDAQ", "XNYS")
    assert not is_same_market("XTKS", "XNYS")
    assert not is_same_market("NOPE", "XNYS")
    assert calendar("XNYS").openings(0.0, 2e9) == calendar("NASDAQ").openings(0.0, 2e9)
