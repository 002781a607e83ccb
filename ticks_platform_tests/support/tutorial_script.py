"""The script of Timescale's financial-ticks tutorial: the official client, and an INSERT of 100 rows at a time.

As a reader of the tutorial has it, but for what a test needs: the address of the stand-in, an end, and a file of what
it has inserted. Arguments: WebSocket URL, REST URL, database URL, file, seconds, symbols.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import execute_values
from twelvedata import TDClient  # type: ignore[import-untyped]

MAX_BATCH_SIZE = 100


class WebsocketPipeline:
    def __init__(self, database: str, told: Path) -> None:
        self.conn = psycopg2.connect(database)
        self.told = told.open("w", encoding="utf-8")
        self.lock = threading.Lock()
        self.current_batch: list[tuple[Any, ...]] = []

    def _insert_values(self, data: list[tuple[Any, ...]]) -> None:
        cursor = self.conn.cursor()
        execute_values(cursor, "INSERT INTO stocks_real_time (time,symbol,price,day_volume) VALUES %s;", data)
        self.conn.commit()
        self.told.writelines(json.dumps([row[0].timestamp(), *row[1:]]) + "\n" for row in data)
        self.told.flush()

    def _on_event(self, event: dict[str, Any]) -> None:
        if event["event"] == "price":
            # The tutorial's datetime.utcfromtimestamp(), which Python deprecates: without a time zone.
            timestamp = datetime.fromtimestamp(event["timestamp"], timezone.utc).replace(tzinfo=None)
            with self.lock:
                self.current_batch.append((timestamp, event["symbol"], event["price"], event.get("day_volume")))
                if len(self.current_batch) == MAX_BATCH_SIZE:
                    self._insert_values(self.current_batch)
                    self.current_batch = []

    def start(self, url: str, http_url: str, symbols: list[str], seconds: float) -> None:
        td = TDClient(apikey="demo", base_url=http_url)
        ws = td.websocket(symbols=symbols, on_event=self._on_event)
        ws.url = url
        ws.connect()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ws.heartbeat()
            time.sleep(min(10, max(0.0, end - time.monotonic())))
        # What is in an unfinished batch is lost, as it is whenever the tutorial's script ends.
        self.lock.acquire()
        os._exit(0)


if __name__ == "__main__":
    _, socket, rest, database, told, duration, *names = sys.argv
    WebsocketPipeline(database, Path(told)).start(socket, rest, names, float(duration))
