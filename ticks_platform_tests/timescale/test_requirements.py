"""A database that lacks what the platform needs is told by what it lacks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ticks_platform.timescale.database import Database
from ticks_platform.timescale.requirements import Server, UnusableDatabaseError, require_timescaledb, shortcoming


@pytest.mark.parametrize(
    ("version", "license_", "words"),
    [
        ("2.29.2", "timescale", None),
        ("2.23.0-dev", "timescale", None),
        ("2.9.1", "timescale", "2.9.1 is too old: 2.13"),
        ("2.29.2", "apache", "Apache edition"),
        ("2.29.2", None, "installed but not loaded"),
    ],
)
def test_what_will_not_do_is_said(version: str, license_: str | None, words: str | None) -> None:
    found = shortcoming(Server(version, license_))
    assert (found is None) if words is None else (words in (found or ""))


def test_the_database_of_the_tests_will_do(empty_database: Database) -> None:
    with empty_database.transaction() as cursor:
        require_timescaledb(cursor)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("", "TimescaleDB is installed but not loaded|has no TimescaleDB"),
        ("shared_preload_libraries = 'timescaledb'\ntimescaledb.license = 'apache'", "Apache edition of TimescaleDB"),
    ],
    ids=["not loaded", "apache"],
)
def test_a_server_that_lacks_it_is_refused(server: Callable[[str], Database], settings: str, words: str) -> None:
    database = server(settings)
    with pytest.raises(UnusableDatabaseError, match=words), database.transaction() as cursor:
        require_timescaledb(cursor)
