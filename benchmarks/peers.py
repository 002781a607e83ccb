"""The peers: the database's limit, and the tutorial's method."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import psycopg2
import websocket
from psycopg2.extras import execute_values

from benchmarks.children import Child, child
from benchmarks.frames import Tape
from benchmarks.workbench import Workbench
from ticks_platform.ingestion.journal.journal import FrameGroup
from ticks_platform.ingestion.rows import tables
from ticks_platform.ingestion.rows.decode import decode_groups
from ticks_platform.ingestion.rows.tables import TICKS, Rows
from ticks_platform.timescale.database import SessionConnection

LIMIT_BATCH = 10_000
TUTORIAL_BATCH = 100

COPY = f"COPY stocks_real_time ({', '.join(TICKS.columns)}) FROM STDIN (FORMAT binary)"
_INSERT = "INSERT INTO tutorial.stocks_real_time (time, symbol, price, day_volume) VALUES %s"


def decoded_tape(tape: Tape) -> Rows:
    """The tape's ticks."""
    frames = tape.frames()
    group = FrameGroup(0, sum(map(len, frames)), 1, 1, [time.time_ns()] * len(frames), frames)
    connector = tape.connector("ws://nowhere")
    return decode_groups([group], connector.decode, connector.decode_many).ticks


def encode(ticks: Rows, size: int, *, is_sorted: bool) -> list[bytes]:
    """Ticks as binary COPY data of so many rows each, in the order of their arrival or that of the columnstore."""
    encode, order = TICKS.encode, tables._order
    assert encode is not None
    try:
        if not is_sorted:
            tables._order = lambda rows, times: None
        return [encode(ticks.part(at, at + size), "benchmark", 1) for at in range(0, len(ticks.events), size)]
    finally:
        tables._order = order


def copy_all(workbench: Workbench, batches: list[bytes], *, direct_compress: bool, connections: int = 1) -> float:
    """COPY the batches into the empty table, one transaction each; returns the seconds.

    Several connections take the next batch in turn, so that commits are in no order.
    """
    workbench.empty()
    opened = [workbench.database.connect("benchmark limit") for _ in range(connections)]
    try:
        if direct_compress:
            for connection in opened:
                with connection, connection.cursor() as cursor:
                    cursor.execute("SET timescaledb.enable_direct_compress_copy = on")
        left = deque(batches)
        with ThreadPoolExecutor(connections) as threads:
            began = time.perf_counter()
            for done in [threads.submit(_copy, connection, left) for connection in opened]:
                done.result()
            return time.perf_counter() - began
    finally:
        for connection in opened:
            connection.close()


def _copy(connection: SessionConnection, left: deque[bytes]) -> None:
    while True:
        try:
            batch = left.popleft()
        except IndexError:
            return
        with connection, connection.cursor() as cursor:
            cursor.copy_expert(COPY, io.BytesIO(batch), size=1 << 20)


@contextlib.contextmanager
def tutorial(url: str, database_url: str, expected: int) -> Iterator[Child]:
    """Run the tutorial's script in a separate process, which answers with (time of the last commit, latencies)."""
    with child(_tutorial, url, database_url, expected) as process:
        yield process


def _tutorial(pipe: Connection, url: str, database_url: str, expected: int) -> None:
    """A plain loop: receive, json.loads, collect 100, execute_values, commit. A frame may have several events."""
    connection = psycopg2.connect(database_url)
    socket = websocket.create_connection(url, skip_utf8_validation=True)
    socket.send('{"action":"subscribe","params":{"symbols":"A,B,C"}}')
    rows: list[tuple[datetime, str, float, int | None]] = []
    arrivals: list[int] = []
    latencies: list[Any] = []
    stored = 0
    with connection.cursor() as cursor:
        while stored < expected:
            message = socket.recv()
            arrived = time.time_ns()
            decoded = json.loads(message)
            for event in decoded if isinstance(decoded, list) else [decoded]:
                row = _row(event)
                if row is None:
                    continue
                rows.append(row)
                arrivals.append(arrived)
                if len(rows) == TUTORIAL_BATCH:
                    execute_values(cursor, _INSERT, rows)
                    connection.commit()
                    stored += len(rows)
                    latencies.append((time.time_ns() - np.array(arrivals)) / 1e9)
                    rows, arrivals = [], []
    ended = time.time()
    pipe.send((ended, np.concatenate(latencies).astype(np.float32)))
    connection.close()
    socket.close()


def _row(event: dict[str, Any]) -> tuple[datetime, str, float, int | None] | None:
    if event.get("event") == "price":
        at = datetime.fromtimestamp(event["timestamp"], tz=timezone.utc)
        return at, event["symbol"], event["price"], event.get("day_volume")
    if event.get("ev") == "T":
        return datetime.fromtimestamp(event["t"] / 1000, tz=timezone.utc), event["sym"], event["p"], event["s"]
    return None
