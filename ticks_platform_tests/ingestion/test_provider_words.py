"""What a provider says reaches people: in the trouble of a run, at each symbol, in the reason of its gap."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.events import Acknowledged, Notice, ProviderError, Refused
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport import reconnect
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion import provider_trouble
from ticks_platform.ingestion.provider_trouble import ProviderTrouble
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.feeds import CLOSE, TEXT, Peer, PeerServer
from ticks_platform_tests.support.ingestion import rows


@contextlib.contextmanager
def ingesting(database: Database, path: Path, url: str, **settings: Any) -> Iterator[Ingestion]:
    feed = FeedSettings.model_validate({"name": "test", "endpoint": url, "api_key_env": "TICKS_TEST_KEY", **settings})
    ingestion = Ingestion(
        feed=feed, connector=feed.connector(), database=database, owner="test", journal_file=path / "test.sqlite3"
    )
    with ingestion:
        yield ingestion


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_TEST_KEY", "s3cret")


def eventually(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def limited(limit: int, reason: str) -> Callable[[Peer], None]:
    """A server of Polygon that refuses a message with which a client would have more than `limit` channels."""

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send(b'[{"ev":"status","status":"auth_success"}]')
        held = 0
        while True:
            opcode, payload = peer.receive()
            if opcode == CLOSE:
                return
            if opcode != TEXT:
                continue
            names = json.loads(payload)["params"].split(",")
            done = [{"ev": "status", "status": "success", "message": f"subscribed to: {name}"} for name in names]
            if held + len(names) > limit:
                done = [{"ev": "status", "status": "max_subscriptions", "message": reason}]
            else:
                held += len(names)
            peer.send(json.dumps(done).encode())

    return serve


def test_the_reason_of_a_limit_stands_at_each_symbol(database: Database, tmp_path: Path) -> None:
    reason = "Subscription limit reached (25). Upgrade your plan."
    names = [f"S{number:02}" for number in range(40)]
    with (
        PeerServer(limited(25, reason)) as server,
        ingesting(database, tmp_path, server.url, provider="polygon", symbols=names) as ingestion,
    ):
        eventually("the limit", lambda: len(ingestion.progress().failed_channels) == 15)
        assert ingestion.progress().failed_channels == {f"T.{name}": reason for name in names[25:]}
        assert reason in (ingestion.progress().trouble or "")
        channels = "SELECT channel, detail FROM ticks_platform.feed_channel WHERE state = 'failed' ORDER BY channel"
        refusals = "SELECT symbol, refusal FROM ticks_platform.feed_symbol WHERE refusal IS NOT NULL ORDER BY symbol"
        streamed = "SELECT count(*) FROM ticks_platform.feed_channel WHERE state = 'subscribed'"
        # Channels and coverage may be committed one after the other.
        eventually("the channels", lambda: len(rows(database, channels)) == 15)
        eventually("their symbols", lambda: len(rows(database, refusals)) == 15)
        eventually("the others", lambda: rows(database, streamed) == [(25,)])
        assert rows(database, channels) == [(f"T.{name}", reason) for name in names[25:]]
        assert rows(database, refusals) == [(name, reason) for name in names[25:]]


def test_a_refusal_is_told_before_it_ends_the_feed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 600.0)
    wrong = b'{"code":401,"status":"error","message":"**apikey** parameter is incorrect or not specified."}'
    with (
        PeerServer(lambda peer: peer.answer("401 Unauthorized", wrong)) as server,
        ingesting(database, tmp_path, server.url, provider="twelve_data", symbols=["AAPL"]) as ingestion,
    ):
        eventually("it is told", lambda: "refused the API key" in (ingestion.progress().trouble or ""))
        refusal = "SELECT refusal FROM ticks_platform.feed_symbol"
        eventually("it is stored", lambda: "refused" in str(rows(database, refusal)))
        assert ingestion.progress().state is State.BACKING_OFF
        assert "s3cret" not in str(ingestion.progress())


def changed(state: State, detail: str, notice: Notice | None = None) -> Change:
    return Change(state, 1_700_000_000_000_000_000, 1, detail, notice)


def test_what_is_told_and_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = ProviderTrouble()
    assert trouble.text is None
    trouble.record(changed(State.CONNECTING, "no key", Refused("no key")))
    trouble.record(changed(State.BACKING_OFF, "HTTP 503; retrying in 3 s"))
    trouble.record(changed(State.CONNECTING, "wss://provider.example"))
    assert trouble.text == "HTTP 503; retrying in 3 s"
    trouble.record(changed(State.SUBSCRIBING, "subscribed to A", Acknowledged(("A",))))
    assert trouble.text == "no key"
    trouble.record(changed(State.STREAMING, "provider error: slow down", ProviderError("slow down")))
    assert trouble.text == "provider error: slow down"
    monkeypatch.setattr(provider_trouble, "TOLD_FOR", 0.0)
    assert trouble.text is None
