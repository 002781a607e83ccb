"""Whatever a provider and the database do, in any order: ingestion goes on, the account balances.

A course is a list of steps against a real ingestion with a real database: frames of all kinds, answers, lost
connections, stops, takeovers, and tables that refuse rows.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticks_platform.errors import TicksPlatformError
from ticks_platform.feeds.polygon import connector as polygon_connector
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport import reconnect
from ticks_platform.ingestion import audit, decoding
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.any_frames import PROVIDERS, THOROUGH, Provider, answers, frames, good, one_event
from ticks_platform_tests.support.feeds import CLOSE, Peer, PeerServer, RecordedBackoff, wait_until
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.platform_database import PlatformDatabase

COURSES = settings(THOROUGH, max_examples=int(os.environ.get("TICKS_PROPERTY_COURSES", "15")))

TABLES = ("stocks_real_time", "stock_quotes", "stock_aggregates")
CODES = ("22003", "23514", "40001", "53100", "53400", "57014", "42501", "P0001", "XX000")
SYMBOLS = ["AAPL", "MSFT", "BTC-USD", "BTC/USD", "USD/CNH"]
ONE_PAIR = ("polygon crypto", "coinbase")
"""To these, two of them are one pair, which they refuse."""
PATIENCE = 40.0
"""Seconds."""

Step = tuple[str, object]


@st.composite
def courses(draw: st.DrawFn) -> tuple[str, list[Step]]:
    """The name of a provider, and steps."""
    name = draw(st.sampled_from(("twelve_data", "polygon stocks", "polygon crypto", "coinbase")))
    provider = PROVIDERS[name]
    messages = st.lists(st.one_of(frames(provider), answers(provider), st.just(good(provider))), max_size=12)
    trouble = st.tuples(st.sampled_from(TABLES), st.sampled_from(CODES), st.sampled_from(("true", "symbol < 'B'")))
    step = st.one_of(
        st.tuples(st.just("send"), messages),
        st.tuples(st.just("send"), messages),
        st.tuples(st.sampled_from(("settle", "reset", "close", "restart", "take over", "heal")), st.none()),
        st.tuples(st.just("trouble"), trouble),
    )
    return name, draw(st.lists(step, min_size=1, max_size=10))


class Exchange:
    """A provider that lets everybody in and confirms all subscriptions; a test sends what it likes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._peer: Peer | None = None
        self.sent = 0
        self.accepted = 0
        """Messages, and connections."""

    def __call__(self, peer: Peer) -> None:
        peer.upgrade()
        try:
            while True:
                opcode, message = peer.receive()
                if opcode == CLOSE:
                    self._write(peer, message, CLOSE)
                    return
                answer = self._answer(json.loads(message)) if message.startswith(b"{") else None
                if answer is not None:
                    self._write(peer, answer)
                    with self._lock:
                        if self._peer is not peer and b"uth" not in answer:
                            self._peer, self.accepted = peer, self.accepted + 1
        finally:
            with self._lock:
                self._peer = None if self._peer is peer else self._peer

    def _answer(self, message: dict[str, object]) -> bytes | None:
        if self._name.startswith("polygon"):
            names = str(message.get("params"))
            if message["action"] == "auth":
                return b'[{"ev":"status","status":"auth_success","message":"authenticated"}]'
            text = ", ".join(f"subscribed to: {name}" for name in names.split(","))
            return json.dumps([{"ev": "status", "status": "success", "message": text}]).encode()
        if self._name == "coinbase":
            channel = {"product_ids": message.get("product_ids")}
            return json.dumps({"type": "subscriptions", "channels": [channel]}).encode()
        params = message.get("params")
        if message.get("action") != "subscribe" or not isinstance(params, dict):
            return None
        success = [{"symbol": name} for name in params["symbols"].split(",")]
        return json.dumps({"event": "subscribe-status", "status": "ok", "success": success, "fails": []}).encode()

    def _write(self, peer: Peer, message: bytes, opcode: int = 1) -> None:
        with self._lock, contextlib.suppress(OSError):
            peer.send(message, opcode)
            self.sent += opcode == 1

    @property
    def peer(self) -> Peer | None:
        with self._lock:
            return self._peer

    def send(self, message: bytes) -> bool:
        """Whether there was somebody to send it to."""
        peer = self.peer
        if peer is not None:
            self._write(peer, message)
        return peer is not None


class Course:
    """An ingestion, its provider and its database."""

    def __init__(self, name: str, exchange: Exchange, url: str, database: Database, folder: Path) -> None:
        provider = PROVIDERS[name]
        market = name.partition(" ")[2]
        self.provider: Provider = provider
        self.exchange = exchange
        self.database = database
        self._url, self._options = url, {"market": market} if market else {}
        self._file = folder / "stream.sqlite3"
        self._feed = FeedSettings.model_validate(
            {
                "name": "test",
                "provider": name.partition(" ")[0],
                "endpoint": url,
                "synthetic_endpoint": True,
                "symbols": [each for each in SYMBOLS if each != "BTC/USD" or name not in ONE_PAIR],
                "options": self._options,
            }
        )
        self._owners = 0
        self._troubles: set[str] = set()
        self.ingestion = self._started()

    def _started(self) -> Ingestion:
        self._owners += 1
        connector = type(self.provider.connector)(url=self._url, api_key="k", options=self._options)
        ingestion = Ingestion(
            feed=self._feed,
            connector=connector,
            database=self.database,
            owner=f"owner {self._owners}",
            journal_file=self._file,
        )
        return ingestion.__enter__()

    def _ended(self) -> bool:
        try:
            return self.ingestion.wait(0.01)
        except TicksPlatformError:
            return True  # refused, as a provider may

    def streaming(self) -> None:
        """Wait for a connection that is subscribed; if the provider refused it for good, start again as a user does."""

        def is_streaming() -> bool:
            if self._ended():
                self.ingestion.stop()
                self.ingestion = self._started()
            return self.exchange.peer is not None

        wait_until(is_streaming, "streaming", PATIENCE)

    def take(self, what: str, value: object) -> None:
        if what == "send":
            assert isinstance(value, list)
            self.streaming()
            for message in value:
                self.exchange.send(message)
        elif what == "settle":
            with contextlib.suppress(AssertionError):
                wait_until(lambda: self.ingestion.progress().waiting_bytes == 0, "loaded", 0.5)
        elif what in ("reset", "close"):
            peer = self.exchange.peer
            if peer is not None:
                with contextlib.suppress(OSError):
                    if what == "reset":
                        peer.reset()
                    else:
                        peer.send((1001).to_bytes(2, "big"), CLOSE)
                wait_until(lambda: self.exchange.peer is not peer, "the connection's end", PATIENCE)
        elif what == "restart":
            self.ingestion.stop()
            self.ingestion = self._started()
        elif what == "take over":
            old = self.ingestion
            self.ingestion = self._started()
            old.stop()
        elif what == "heal":
            self.heal()
        else:
            assert isinstance(value, tuple)
            self.cause_trouble(*value)

    def cause_trouble(self, table: str, code: str, condition: str) -> None:
        """Have a table refuse rows."""
        if table in self._troubles:
            return
        self._troubles.add(table)
        self._execute(
            "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
            "RAISE EXCEPTION 'not now' USING ERRCODE = TG_ARGV[0]; END$$",
            f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW "
            f"WHEN ({condition.replace('symbol', 'NEW.symbol')}) EXECUTE FUNCTION public.refuse('{code}')",
        )

    def heal(self) -> None:
        """Have all tables take rows again."""
        self._execute(*(f"DROP TRIGGER IF EXISTS refuse ON {table}" for table in self._troubles))
        self._troubles.clear()

    def _execute(self, *statements: str) -> None:
        with self.database.transaction() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def finish(self) -> None:
        """A good tick is stored, everything that was received is in the account, and nothing waits."""
        self.heal()
        first = self.provider.events[0]
        symbol = json.loads(first.get("symbol") or first.get("sym") or first.get("pair") or first["product_id"])
        price = 4711.25
        field = "price" if "price" in first else "p"
        message = one_event(self.provider, {**first, field: first[field].replace(first[field].strip(b'"'), b"4711.25")})
        stored = f"SELECT count(*) FROM stocks_real_time WHERE symbol = '{symbol}' AND price = {price}"
        asked = 0.0

        def is_stored() -> bool:
            nonlocal asked
            if time.monotonic() - asked > 1:
                self.streaming()
                self.exchange.send(message)
                asked = time.monotonic()
            return rows(self.database, stored) != [(0,)]

        wait_until(is_stored, "a good tick is stored", PATIENCE)
        wait_until(lambda: self.ingestion.progress().waiting_bytes == 0, "nothing waits", PATIENCE)
        self.ingestion.stop()
        assert unbalanced(self.database) == []
        with self.database.autocommit() as cursor:
            folder = audit.journal_folder(cursor, self._file.parent, {"test", "stream"})
        assert not folder.unreadable
        assert not folder.damaged
        assert [problem for account in folder.accounts for problem in account.problems()] == []
        ((received,),) = rows(self.database, "SELECT sum(frames)::bigint FROM ticks_platform.feed_ledger")
        assert received <= self.exchange.sent

    def end(self) -> None:
        self.ingestion.stop()
        self.heal()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.05)
    monkeypatch.setattr(reconnect, "REJECTED_PAUSE", 0.05)
    monkeypatch.setattr(reconnect, "Backoff", lambda **_: RecordedBackoff())
    monkeypatch.setattr(polygon_connector, "MAX_CONNECTIONS_PAUSE", 0.05)
    monkeypatch.setattr(polygon_connector, "AUTH_TIMEOUT_PAUSE", 0.05)
    monkeypatch.setattr(decoding, "SETTLING", 0.1)


@pytest.fixture
def run_course(
    platform_database: PlatformDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, list[Step]], None]:
    def run(name: str, steps: list[Step]) -> None:
        database = platform_database.reset()
        exchange = Exchange(name)
        with PeerServer(exchange) as server:
            course = Course(name, exchange, server.url, database, tmp_path_factory.mktemp("journal"))
            try:
                for what, value in steps:
                    course.take(what, value)
                course.finish()
            finally:
                course.end()

    return run


@pytest.mark.full
@pytest.mark.usefixtures("_impatient")
@COURSES
@given(course=courses())
def test_any_course(run_course: Callable[[str, list[Step]], None], course: tuple[str, list[Step]]) -> None:
    run_course(*course)
