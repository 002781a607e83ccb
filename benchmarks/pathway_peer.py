"""A peer: Pathway's Python connector on a WebSocket, and its PostgreSQL writer."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import msgspec
import sqlalchemy
import websocket

from benchmarks.children import Child, child

TABLE = "pathway_ticks"


class Settings(NamedTuple):
    """What was tried with `python -m benchmarks peer-settings`; the default is what is measured."""

    commit_milliseconds: int = 200


BEST = Settings()


@contextlib.contextmanager
def running(url: str, database_url: str, expected: int, settings: Settings = BEST) -> Iterator[Child]:
    """Run the pipeline in a separate process, which answers with the time at which all is written."""
    with child(_main, url, database_url, expected, settings.commit_milliseconds) as process:
        yield process


def _main(pipe: Connection, url: str, database_url: str, expected: int, commit_milliseconds: int) -> None:
    pw: Any = importlib.import_module("pathway")
    decode = msgspec.json.Decoder().decode
    utc = timezone.utc

    schema = pw.schema_from_types(
        at=pw.DateTimeUtc, symbol=str, price=float, size=float | None, exchange=str | None, trade_id=str | None
    )

    class Subject(pw.io.python.ConnectorSubject):  # type: ignore[misc]
        def run(self) -> None:
            socket = websocket.create_connection(url, skip_utf8_validation=True)
            socket.send('{"action":"subscribe","params":{"symbols":"A,B,C"}}')
            received, send = 0, self.next
            while received < expected:
                decoded = decode(socket.recv())
                for event in decoded if isinstance(decoded, list) else [decoded]:
                    if event.get("ev") == "T":
                        at = datetime.fromtimestamp(event["t"] / 1000, tz=utc)
                        send(
                            at=at,
                            symbol=event["sym"],
                            price=event["p"],
                            size=float(event["s"]),
                            exchange=str(event["x"]),
                            trade_id=event["i"],
                        )
                        received += 1
                    elif event.get("event") == "price":
                        at = datetime.fromtimestamp(event["timestamp"], tz=utc)
                        send(
                            at=at,
                            symbol=event["symbol"],
                            price=event["price"],
                            size=None,
                            exchange=event["exchange"],
                            trade_id=None,
                        )
                        received += 1

    given = sqlalchemy.make_url(database_url)
    settings = {
        "host": given.host or "127.0.0.1",
        "port": str(given.port or 5432),
        "dbname": given.database,
        "user": given.username,
        **({"password": str(given.password)} if given.password else {}),
    }
    ticks = pw.io.python.read(Subject(), schema=schema, autocommit_duration_ms=commit_milliseconds)
    pw.io.postgres.write(ticks, settings, TABLE)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    pipe.send(time.time())
