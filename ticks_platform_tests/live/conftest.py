"""The live page on a real socket, in front of the tests' database."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from ticks_platform.live import server
from ticks_platform.timescale.database import Database

PATIENCE = 20.0


class LivePage:
    """A page that is served by a thread of this process."""

    def __init__(self, database: Database, project: Path) -> None:
        listening = server.listen(0)
        self.url = server.address(listening)
        self._page = server.Page(listening, database, project)
        self.hub = self._page.hub
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._page.run()), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it. Raises AssertionError if it does not."""
        self._loop.call_soon_threadsafe(self._page.stop)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the page does not end"
        self._loop.close()

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> requests.Response:
        """The answer to a request."""
        return requests.get(self.url + path, params=query, headers=headers, timeout=PATIENCE)

    @contextmanager
    def stream(self, **query: Any) -> Iterator[Iterator[tuple[str, Any]]]:
        """The events of a stream: names and contents."""
        with requests.get(f"{self.url}/api/stream", params=query, stream=True, timeout=PATIENCE) as answer:
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield _events(answer)


def _events(answer: requests.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


def until(events: Iterator[tuple[str, Any]], name: str, accept: Any = lambda _: True) -> Any:
    """The next event of this name that is accepted; the stream ends the test if none comes."""
    return next(content for found, content in events if found == name and accept(content))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two feeds, which nobody ingests."""
    (tmp_path / "feeds.yaml").write_text(
        "feeds:\n"
        "  tape: {provider: twelve_data, endpoint: stand-in, symbols: {AAPL: Apple, 'BTC/USD': Bitcoin}}\n"
        "  other: {provider: twelve_data, endpoint: stand-in, symbols: {TSLA: Tesla}}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def filled(database: Database) -> Database:
    """With the feed `tape`, its account, two gaps, a rejected event, and candles of AAPL."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('tape', 'twelve_data', true);
            INSERT INTO company VALUES ('AAPL', 'Apple');
            INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar)
            SELECT 'tape', symbol, now() - INTERVAL '1 day', 'always' FROM unnest('{AAPL,BTC/USD}'::text[]) AS symbol;
            INSERT INTO ticks_platform.feed_lease (feed, epoch, owner, taken_at, heartbeat_at)
            VALUES ('tape', 1, 'run-1', now(), now() + INTERVAL '1 hour');
            INSERT INTO ticks_platform.feed_session VALUES ('tape', 1, 0, now(), 'streaming', 'first data');
            INSERT INTO ticks_platform.feed_ledger
                (feed, epoch, connection, first_received_at, last_received_at, frames, events, loaded, duplicate,
                 rejected, control, last_data_at)
            VALUES ('tape', 1, 0, now(), now(), 9, 9, 6, 1, 1, 1, now());
            INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, state)
            VALUES ('tape', 'AAPL', now() - INTERVAL '8 minutes', now() - INTERVAL '7 minutes', 'disconnected', 'open'),
                   ('tape', 'AAPL', now() - INTERVAL '6 minutes', now() - INTERVAL '5 minutes', 'killed', 'repaired');
            INSERT INTO ticks_platform.feed_checkpoint (feed, journal_id, position, frames, frames_before, committed_at)
            VALUES ('tape', gen_random_uuid(), 0, 0, 0, now());
            INSERT INTO ticks_platform.rejected_event (feed, journal_number, position, received_at, reason, raw)
            SELECT 'tape', journal_number, 7, now(), 'not JSON', '<script>alert(1)</script>'::bytea
            FROM ticks_platform.feed_checkpoint;
            INSERT INTO stocks_real_time (time, symbol, price, day_volume, feed)
            SELECT now() - INTERVAL '10 minutes' + make_interval(secs => 30 * number), 'AAPL', 100 + number,
                1000 + 10 * number, 'tape'
            FROM generate_series(0, 19) AS number;
            """
        )
    return database


@pytest.fixture
def page(filled: Database, project: Path) -> Iterator[LivePage]:
    """The page, in front of that database."""
    found = LivePage(filled, project)
    yield found
    found.stop()
