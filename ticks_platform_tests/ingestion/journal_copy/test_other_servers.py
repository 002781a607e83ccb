"""Servers of other programs, with other rights, and without TLS: nothing is changed there, and no password told."""

from __future__ import annotations

import contextlib
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.ingestion.journal_copy import connection as connections
from ticks_platform.ingestion.journal_copy import servers
from ticks_platform.ingestion.journal_copy.connection import NatsConnection
from ticks_platform_tests.ingestion.journal_copy.conftest import (
    MakeJournal,
    MakeShipper,
    append,
    await_shipped,
    on_connection,
    refused,
)
from ticks_platform_tests.support.nats_servers import nats_servers

pytestmark = pytest.mark.full


ALONE: dict[str, Any] = {"replicas": 1, "for_tests": True}


def test_a_stream_of_another_program_is_left_as_it_is(
    tmp_path: Path, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    """A lower limit would delete its oldest messages."""
    with nats_servers(tmp_path / "alone", names=["n1"]) as alone:
        section = alone.settings(**ALONE, stream="ORDERS", max_megabytes=16)
        settings = JetStreamSettings.model_validate(section)
        config = {"name": "ORDERS", "subjects": ["orders.>"], "storage": "file", "discard": "old", "max_bytes": -1}

        def make(connection: NatsConnection) -> None:
            connection.api("STREAM.CREATE.ORDERS", config)
            for _ in range(20):
                connection.request("orders.one", bytes(1 << 20))

        on_connection(settings, make)
        refused(section, "the stream ORDERS is of another program", make_journal, ship)
        found = on_connection(settings, lambda connection: connection.api("STREAM.INFO.ORDERS"))
        assert (found["state"]["messages"], found["config"]["max_bytes"]) == (20, -1)


def test_an_own_stream_without_a_limit_keeps_what_is_above_the_limit(
    tmp_path: Path, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    with nats_servers(tmp_path / "alone", names=["n1"]) as alone:
        settings = JetStreamSettings.model_validate(alone.settings(**ALONE, stream="own", max_megabytes=16))
        journal = make_journal()
        append(journal, "frame")
        await_shipped(ship(settings, journal))

        def fill(connection: NatsConnection) -> int:
            config = connection.api("STREAM.INFO.own")["config"]
            connection.api("STREAM.UPDATE.own", {**config, "max_bytes": -1})
            for _ in range(20):
                connection.request("own.journal.another", bytes(1 << 20))
            return int(connection.api("STREAM.INFO.own")["state"]["messages"])

        before = on_connection(settings, fill)
        on_connection(settings, lambda connection: servers.ensure(connection, settings, "own"))
        found = on_connection(settings, lambda connection: connection.api("STREAM.INFO.own"))
        assert found["state"]["messages"] == before > 20
        assert found["config"]["max_bytes"] == -1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_password_is_sent_by_tls_alone_where_tls_is_set(
    tmp_path: Path, make_journal: MakeJournal, ship: MakeShipper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers in place of the server may say that TLS is not needed."""
    monkeypatch.setenv("TEST_NATS_SIGN_IN", "correct-horse-battery")
    key, certificate = self_signed(tmp_path)
    sign_in = {**ALONE, "user": "ticks", "password_env": "TEST_NATS_SIGN_IN"}
    by_tls = {**sign_in, "tls": {"ca_file": str(certificate)}}
    user = 'authorization { user: ticks, password: "correct-horse-battery" }'
    with plain_server() as (port, received):
        section = {"servers": [f"nats://127.0.0.1:{port}"], "monitoring": "unchecked", **by_tls}
        refused(section, "asks for no TLS, and journal.copy.jetstream does", make_journal, ship)
        scheme = {"servers": [f"tls://127.0.0.1:{port}"], "monitoring": "unchecked", **sign_in}
        refused(scheme, "asks for no TLS", lambda _="": make_journal("scheme"), ship)
        assert received == []
    tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}'
    with nats_servers(tmp_path / "tls", names=["n1"], more=f"{user}\n{tls}") as encrypted:
        words = "journal.copy.jetstream.tls.ca_file names the authority that signed it"
        refused(encrypted.settings(**sign_in), words, lambda _="": make_journal("unknown"), ship)
        settings = JetStreamSettings.model_validate(encrypted.settings(**by_tls))
        journal = make_journal("encrypted")
        append(journal, "frame")
        await_shipped(ship(settings, journal))


@pytest.mark.parametrize("rights", ['publish: ["other.>"], subscribe: [">"]', 'publish: [">"], subscribe: ["other"]'])
def test_a_right_that_the_user_has_not_is_said(
    tmp_path: Path, make_journal: MakeJournal, ship: MakeShipper, monkeypatch: pytest.MonkeyPatch, rights: str
) -> None:
    monkeypatch.setenv("TEST_NATS_SIGN_IN", "correct-horse-battery")
    monkeypatch.setattr(connections, "ANSWER_TIMEOUT", 1.0)
    users = f"users: [{{user: ticks, password: correct-horse-battery, permissions: {{{rights}}}}}]"
    with nats_servers(tmp_path / "strict", names=["n1"], more=f"authorization {{ {users} }}") as strict:
        section = strict.settings(**ALONE, user="ticks", password_env="TEST_NATS_SIGN_IN")
        refused(section, "may publish and subscribe to", make_journal, ship)


@contextlib.contextmanager
def plain_server() -> Iterator[tuple[int, list[bytes]]]:
    """The port of one that speaks as a server without TLS, and the lines that it gets."""
    received: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b'INFO {"server_id":"X","version":"2.15.1","max_payload":1048576,"headers":true}\r\n')
            for line in self.rfile:
                received.append(line)
                if line.startswith(b"PING"):
                    self.wfile.write(b"PONG\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], received
        server.shutdown()
        thread.join()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A key, and its certificate for 127.0.0.1."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate
