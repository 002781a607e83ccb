"""With the rights of sql/grants, and no others: the owner creates, the writer ingests, the reader reads."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg2
import psycopg2.errors
import pytest
import sqlalchemy

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.paths import project_root
from ticks_platform.timescale import quality, readers, sql_files
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import jobs
from ticks_platform.timescale.policies.settings import POLICIES, load_policies
from ticks_platform_tests.conftest import CANDLES
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.feeds import Peer, PeerServer, price, wait_until

GRANTS = project_root() / "sql" / "grants"
PASSWORD = "a-password-of-the-tests"


class Roles:
    """A database of its own, as each role sees it."""

    def __init__(self, url: sqlalchemy.URL) -> None:
        self._url = url

    def of(self, role: str) -> Database:
        return Database(self._url.set(username=role, password=PASSWORD).render_as_string(hide_password=False))


@pytest.fixture
def roles(server_url: str | None) -> Iterator[Roles]:
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded one has one user")
    url, name = sqlalchemy.make_url(server_url), f"ticks_roles_{uuid.uuid4().hex[:12]}"
    with contextlib.closing(psycopg2.connect(server_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f'CREATE DATABASE "{name}"')
    own = url.set(database=name)
    try:
        with Database(own.render_as_string(hide_password=False)).transaction() as cursor:
            cursor.execute((GRANTS / "roles.sql").read_text(encoding="utf-8"))
            cursor.execute((GRANTS / "roles.sql").read_text(encoding="utf-8"))
            for role in ("ticks", "ticks_writer", "ticks_reader"):
                cursor.execute(f"ALTER ROLE {role} PASSWORD %s", (PASSWORD,))
        yield Roles(own)
    finally:
        with contextlib.closing(psycopg2.connect(server_url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def prices(peer: Peer) -> None:
    """A provider that sends three prices, and goes on."""
    peer.upgrade()
    peer.receive()
    for _ in range(3):
        peer.send(price("AAPL", price=100.5))
    peer.receive_until_end()


@pytest.mark.full
def test_each_role_can_do_its_work_and_no_more(roles: Roles, tmp_path: Path) -> None:
    owner, writer, reader = roles.of("ticks"), roles.of("ticks_writer"), roles.of("ticks_reader")
    with owner.transaction() as cursor:
        assert readers.may_create(cursor)
        sql_files.apply(cursor, *sql_files.HYPERTABLE)
    with owner.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.MACHINERY)
    with owner.autocommit() as cursor:
        sql_files.apply(cursor, *CANDLES)
    with owner.transaction() as cursor:
        settings = load_policies(project_root() / "policies.yaml")
        for policy in POLICIES:
            jobs.apply(cursor, policy, settings.terms(policy))
        cursor.execute((GRANTS / "writer.sql").read_text(encoding="utf-8"))
        readers.let_read(cursor, "ticks_reader")

    feed = FeedSettings(
        name="stocks",
        provider="twelve_data",
        endpoint="ws://127.0.0.1:1",
        synthetic_endpoint=True,
        symbols=("AAPL",),  # type: ignore[arg-type]
    )
    with (
        PeerServer(prices) as provider,
        Ingestion(
            feed=feed.model_copy(update={"endpoint": provider.url}),
            connector=TwelveDataConnector(url=provider.url, api_key="demo"),
            database=writer,
            owner="a test",
            journal_file=tmp_path / "journal",
        ) as ingestion,
    ):
        wait_until(lambda: ingestion.progress().loaded >= 3, "ticks", 60)

    with writer.transaction() as cursor:
        assert not readers.may_create(cursor)
        cursor.execute("SELECT count(*) = 3 FROM stocks_real_time")
        assert cursor.fetchone() == (True,)
    for statement in (
        "DROP TABLE stocks_real_time",
        "CREATE TABLE public.mine ()",
        "ALTER TABLE ticks_platform.feed ADD COLUMN mine int",
        "DELETE FROM one_minute_candle",
    ):
        # A candle in real time is no view that anybody could write to.
        refused = (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ObjectNotInPrerequisiteState)
        with pytest.raises(refused), writer.transaction() as cursor:
            cursor.execute(statement)

    with owner.autocommit() as cursor:
        cursor.execute("CALL refresh_continuous_aggregate('one_minute_candle', NULL, NULL)")
    with owner.transaction() as cursor:
        assert (
            quality.find(
                cursor, "queries/checks/no_duplicate_bucket.sql", "one_minute_candle", {"window": timedelta(days=1)}
            ).offending
            == 0
        )
    with reader.transaction() as cursor:
        cursor.execute("SELECT close FROM one_minute_candle WHERE symbol = 'AAPL'")
        assert cursor.fetchone() == (100.5,)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), reader.transaction() as cursor:
        cursor.execute("SET TRANSACTION READ WRITE; DELETE FROM stocks_real_time")
