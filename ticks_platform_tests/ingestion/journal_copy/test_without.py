"""What a feed without a copy never sees, and servers that are too old."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.ingestion.journal_copy.connection import CopyError, NatsConnection
from ticks_platform_tests.ingestion.journal_copy.conftest import MakeJournal, MakeShipper, append
from ticks_platform_tests.support.nats_servers import await_that


def test_nothing_of_it_is_imported_without_the_setting() -> None:
    program = """
        import sys, ticks_platform.ingestion.run, ticks_platform.cli.ingest
        from ticks_platform.feeds.settings import FeedSettings
        FeedSettings.model_validate(dict(name="a", provider="twelve_data", endpoint="stand-in", symbols=["AAPL"]))
        print(sorted(name for name in sys.modules if name.startswith("nats") or "ingestion.journal_copy" in name))
    """
    lines = "\n".join(line.strip() for line in program.strip().splitlines())
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


@contextlib.contextmanager
def old_server(version: str) -> Iterator[str]:
    """A server that introduces itself with this version, and answers a client's greeting. No release is installable."""
    listener = socket.create_server(("127.0.0.1", 0))
    info = {"server_id": "old", "version": version, "max_payload": 1 << 20, "proto": 1, "headers": True}

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, client.makefile("rb") as lines:
                    client.sendall(f"INFO {json.dumps(info)}\r\n".encode())
                    for line in lines:
                        if line.startswith(b"PING"):
                            client.sendall(b"PONG\r\n")

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"nats://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize("version", ["2.9.10", "2.13.4"])
def test_a_server_that_is_too_old_is_refused(version: str, make_journal: MakeJournal, ship: MakeShipper) -> None:
    with old_server(version) as url:
        journal = make_journal()
        append(journal, "frame")
        settings = JetStreamSettings.model_validate({"servers": [url], "monitoring": "unchecked"})
        shipper = ship(settings, journal)
        words = f"is nats-server {version.rpartition('.')[0]}, and 2.14 is the oldest"
        await_that(lambda: words in (shipper.unshipped().trouble or ""), words, say=shipper.unshipped)
        append(journal, "more")
        assert shipper.unshipped().bytes == len("framemore")


def test_connections_that_fail_leave_nothing_behind() -> None:
    settings = JetStreamSettings.model_validate({"servers": ["nats://127.0.0.1:1"], "monitoring": "unchecked"})

    def fail() -> tuple[int, int]:
        with pytest.raises(CopyError):
            NatsConnection(settings, settings.servers[0], name="test", stopping=threading.Event())
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = fail()
    for _ in range(5):
        after = fail()
    assert after <= before
