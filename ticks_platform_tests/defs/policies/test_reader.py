"""The reader's role reads and does not write, and whoever may write to a candle is found."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import dagster as dg
import psycopg2
import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import ERROR, CheckOne

ROLE = f"ticks test reader {uuid.uuid4().hex[:8]}"
"""Roles are the server's: other sessions of the tests may be at work there."""


def tell(database: Database, statement: str, role: str | None = None) -> None:
    with database.transaction() as cursor:
        if role is not None:
            cursor.execute(f'SET LOCAL ROLE "{role}"')
        cursor.execute(statement)


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    tell(database, f'CREATE ROLE "{ROLE}"')
    yield ROLE
    tell(database, f'DROP OWNED BY "{ROLE}"; DROP ROLE "{ROLE}"')


@pytest.fixture
def grant(load: Callable[[], dg.Definitions], monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Materializes the asset `reader`, as with TICKS_READER_ROLE set."""

    def materialize() -> None:
        monkeypatch.setenv("TICKS_READER_ROLE", ROLE)
        dg.materialize([load().resolve_assets_def("reader")])

    return materialize


def test_a_reader_reads_and_does_not_write(database: Database, role: str, grant: Callable[[], None]) -> None:
    writing = "INSERT INTO one_minute_candle (bucket, symbol) VALUES (now(), 'AAPL')"
    tell(database, "ALTER MATERIALIZED VIEW one_minute_candle SET (timescaledb.materialized_only = true)")
    tell(database, f'GRANT INSERT ON one_minute_candle TO "{role}"')
    tell(database, writing, role)
    grant()
    tell(database, "SELECT * FROM one_minute_candle_volume", role)
    for table in ("stocks_real_time", "one_minute_candle", "ticks_platform.feed_ledger"):
        tell(database, f"SELECT * FROM {table}", role)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            tell(database, f"DELETE FROM {table}", role)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        tell(database, writing, role)


def test_without_the_role_it_is_named(database: Database, grant: Callable[[], None]) -> None:
    with pytest.raises(Exception, match=f"there is no role '{ROLE}', which TICKS_READER_ROLE names"):
        grant()


def test_no_role_no_asset(platform: dg.Definitions) -> None:
    assert dg.AssetKey("reader") not in {spec.key for spec in platform.resolve_all_asset_specs()}


def test_whoever_may_write_to_a_candle_is_found(database: Database, role: str, check_one: CheckOne) -> None:
    tell(database, f'GRANT SELECT ON one_hour_candle TO "{role}"')
    assert check_one("only_its_owner_writes", "one_hour_candle").passed
    tell(database, f'GRANT INSERT, UPDATE ON one_hour_candle TO "{role}"')
    found = check_one("only_its_owner_writes", "one_hour_candle")
    assert (found.passed, found.severity) == (False, ERROR)
    assert found.description == f"{ROLE} may INSERT, UPDATE"
