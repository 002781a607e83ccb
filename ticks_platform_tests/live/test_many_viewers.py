"""Many viewers cost the database what one costs, and the process does not grow."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pytest
import requests

from ticks_platform_tests.live.ingesting import ingesting

pytestmark = pytest.mark.full

SYMBOLS = ("AAPL", "MSFT", "NVDA", "TSLA", "BTC/USD", "ETH/USD")
INTERVALS = ("1m", "1h", "1d")


class Watching(NamedTuple):
    """What a number of viewers cost."""

    queries_a_second: float
    growth: int
    """Bytes of memory from the settling to the end."""
    bytes_read: int
    streams_open: int


def watch(url: str, process: int, *, viewers: int, slow: int = 0, settle: float, seconds: float) -> Watching:
    """Look with so many viewers, some of whom never read, at several series."""
    host = urlsplit(url)
    assert host.hostname is not None
    streams, lazy, read, stopping = selectors.DefaultSelector(), [], 0, threading.Event()

    def connect(number: int) -> socket.socket:
        symbol, interval = SYMBOLS[number % len(SYMBOLS)], INTERVALS[number % 3]
        stream = socket.socket()
        if number < slow:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.connect((host.hostname, host.port or 0))
        path = f"/api/stream?symbol={quote(symbol, safe='')}&interval={interval}"
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\n\r\n".encode())
        return stream

    for number in range(viewers):
        stream = connect(number)
        if number < slow:
            lazy.append(stream)
        else:
            streams.register(stream, selectors.EVENT_READ)

    def drain() -> None:
        nonlocal read
        while not stopping.is_set():
            for found, _ in streams.select(0.2):
                assert isinstance(found.fileobj, socket.socket)
                data = found.fileobj.recv(1 << 18)
                read += len(data)
                if not data:
                    streams.unregister(found.fileobj)

    reading = threading.Thread(target=drain, daemon=True)
    reading.start()
    time.sleep(settle)
    begin, before, rss = time.monotonic(), _queries(url), _memory(process)
    time.sleep(seconds)
    asked, growth = _queries(url) - before, _memory(process) - rss
    rate = asked / (time.monotonic() - begin)
    stopping.set()
    reading.join()
    still_open = len(streams.get_map())
    for key in list(streams.get_map().values()):
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()
    for stream in lazy:
        stream.close()
    return Watching(rate, growth, read, still_open)


def _memory(process: int) -> int:
    """Bytes of memory that a process has."""
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def _queries(url: str) -> int:
    return int(requests.get(f"{url}/api/status", timeout=30).json()["queries"])


def test_fifty_viewers_cost_what_one_costs() -> None:
    with ingesting() as running:
        running.until("the symbols are known", lambda _: requests.get(f"{running.url}/api/candles?symbol=AAPL").ok)
        page = running.process("page")
        one = watch(running.url, page, viewers=1, settle=3, seconds=6)
        many = watch(running.url, page, viewers=50, slow=5, settle=6, seconds=10)
    assert many.queries_a_second <= 1.2 * max(one.queries_a_second, 1.0)
    assert many.growth < 10 << 20
    assert many.streams_open == 45
    assert many.bytes_read > 45 * 1000
