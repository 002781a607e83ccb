"""A peer: cryptofeed's PostgreSQL writer, given trades that are in memory already."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
from collections.abc import Iterator
from decimal import Decimal
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import sqlalchemy

from benchmarks.children import Child, child

TABLE = "cryptofeed_trades"


class Settings(NamedTuple):
    """What was tried with `python -m benchmarks peer-settings`; the default is what is measured."""

    in_queue: int = 5_000
    """Trades that wait for the writer, which writes all of them in one statement."""


BEST = Settings()


@contextlib.contextmanager
def running(database_url: str, expected: int, settings: Settings = BEST) -> Iterator[Child]:
    """Run the writer in a separate process, which answers with the seconds from the first trade to the last commit."""
    with child(_main, database_url, expected, settings.in_queue) as process:
        yield process


def _main(pipe: Connection, database_url: str, expected: int, in_queue: int) -> None:
    pipe.send(asyncio.run(_write(database_url, expected, in_queue)))


async def _write(database_url: str, expected: int, in_queue: int) -> float:
    types: Any = importlib.import_module("cryptofeed.types")
    backend: Any = importlib.import_module("cryptofeed.backends.postgres")
    given = sqlalchemy.make_url(database_url)
    now = time.time()
    trades = [
        types.Trade(
            "BENCHMARK",
            f"S{number % 100}",
            "buy",
            Decimal(1 + number % 500),
            Decimal("100.123"),
            now,
            id=str(number * 7919),
        )
        for number in range(expected)
    ]
    writer = backend.TradePostgres(
        host=given.host or "127.0.0.1",
        port=given.port or 5432,
        user=given.username,
        pw=given.password,
        db=given.database,
        table=TABLE,
    )
    writer.start(asyncio.get_running_loop())
    began = time.perf_counter()
    for trade in trades:
        await writer(trade, now)
        while writer.queue.qsize() >= in_queue and not writer.worker.done():
            await asyncio.sleep(0.001)
    written = asyncio.create_task(writer.queue.join())
    await asyncio.wait((written, writer.worker), return_when=asyncio.FIRST_COMPLETED)
    ended = time.perf_counter()
    if writer.worker.done():
        writer.worker.result()
    await writer.stop()
    return ended - began
