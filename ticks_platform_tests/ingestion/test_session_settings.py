"""What a session relies on is set by us, whatever the environment, the role and the database say."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy

from ticks_platform.feeds.events import ChannelsFailed
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.timescale.database import Database, UnsupportedEncodingError
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, price, rows, unbalanced

OURS = {
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "synchronous_commit": "on",
    "transaction_isolation": "read committed",
    "search_path": "public",
    "row_security": "off",
}

HOSTILE = {
    "timezone": "Asia/Tokyo",
    "datestyle": "German",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "-3",
    "bytea_output": "escape",
    "statement_timeout": "500",
    "lock_timeout": "1",
    "synchronous_commit": "off",
    "default_transaction_isolation": "serializable",
    "search_path": "pg_catalog",
}


def shown(database: Database) -> dict[str, str]:
    with database.transaction() as cursor:
        found = {}
        for name in OURS:
            cursor.execute(f"SHOW {name}")
            (found[name],) = cursor.fetchone() or ("",)
        cursor.execute("SELECT 'NESTL\u00c9 \u2019'")
        assert cursor.fetchone() == ("NESTL\u00c9 \u2019",)
    return found


def test_the_environment_changes_no_setting(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGDATESTYLE", "German")
    monkeypatch.setenv("PGOPTIONS", " ".join(f"-c {name}={value}" for name, value in HOSTILE.items()))
    assert shown(database) == OURS
    with database.autocommit() as cursor:
        cursor.execute("SHOW intervalstyle")
        assert cursor.fetchone() == ("postgres",)


def test_names_and_words_that_latin_1_does_not_have(
    database: Database, monkeypatch: pytest.MonkeyPatch, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    """As symbols, and in what a provider says, which ended a run."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    said = "You\u2019re not allowed: NESTL\u00c9"
    loader = make_loader(take_lease("one"), [price("NESTL\u00c9"), price("\u8054\u60f3"), b"not \xe2\x80\x99 json"])
    loader.record(Change(State.STREAMING, time.time_ns(), 1, said, ChannelsFailed({"NESTL\u00c9": said})))
    loader.run()
    assert rows(database, "SELECT symbol FROM stocks_real_time ORDER BY tick_id") == [
        ("NESTL\u00c9",),
        ("\u8054\u60f3",),
    ]
    assert rows(database, "SELECT detail FROM ticks_platform.feed_session") == [(said,)]
    assert rows(database, "SELECT channel, detail FROM ticks_platform.feed_channel") == [("NESTL\u00c9", said)]
    assert unbalanced(database) == []


def test_a_session_that_changes_has_them_in_each_transaction(database: Database) -> None:
    connection = database.connect()
    connection.is_pooled = True
    with connection, connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {name} = '{value}'" for name, value in HOSTILE.items()))
    for _ in range(2):
        with connection, connection.cursor() as cursor:
            connection.begin(cursor)
            cursor.execute("SHOW intervalstyle")
            assert cursor.fetchone() == ("postgres",)
            cursor.execute("SHOW transaction_isolation")
            assert cursor.fetchone() == ("read committed",)
    connection.close()


def _administer(url: str, *statements: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused(server_url: str | None, encoding: str) -> None:
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded database is in UTF-8")
    name = f"ticks_test_{uuid.uuid4().hex[:12]}"
    _administer(server_url, f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        url = sqlalchemy.make_url(server_url).set(database=name).render_as_string(hide_password=False)
        with pytest.raises(UnsupportedEncodingError, match=rf"encoded in {encoding}.*ENCODING 'UTF8'"):
            Database(url).connect()
    finally:
        _administer(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def test_settings_of_the_database_change_no_setting(
    database: Database, server_url: str | None, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded database has no ALTER DATABASE … SET")
    (name,) = rows(database, "SELECT current_database()")[0]
    _administer(server_url, *(f"ALTER DATABASE {name} SET {setting} = '{value}'" for setting, value in HOSTILE.items()))
    try:
        assert shown(database) == OURS
        make_loader(take_lease("one"), [price("NESTL\u00c9")]).run()
        assert rows(database, "SELECT symbol FROM stocks_real_time") == [("NESTL\u00c9",)]
    finally:
        _administer(server_url, f"ALTER DATABASE {name} RESET ALL")


@pytest.mark.full
def test_pgbouncer_in_transaction_mode(
    database: Database,
    server_url: str | None,
    tmp_path: Path,
    take_lease: TakeLease,
    make_loader: LoaderOf,
) -> None:
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if server_url is None or program is None:
        skips.skip(skips.ONLY_NATIVE, "and a PgBouncer")
    server = sqlalchemy.make_url(server_url)
    (name,) = rows(database, "SELECT current_database()")[0]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    settings = tmp_path / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{name} = host={server.host} port={server.port or 5432} user={server.username} "
        f"password={server.password or 'x'}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\n"
        "unix_socket_dir =\n"
    )
    process = subprocess.Popen([program, "-u", "nobody", str(settings)], stderr=subprocess.DEVNULL)
    pooled = Database(f"postgresql://{server.username}@127.0.0.1:{port}/{name}")
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert pooled.connect().is_pooled
        assert shown(pooled) == OURS
        loader = make_loader(take_lease("one"), [price() for _ in range(10)])
        loader._transactions._database = pooled
        loader.run()
        assert rows(pooled, "SELECT count(*) FROM stocks_real_time") == [(10,)]
    finally:
        process.terminate()
        process.wait(10)
