"""A database that lacks what the platform needs is told by what it lacks."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ticks_platform.timescale.database import Database
from ticks_platform.timescale.requirements import Server, UnusableDatabaseError, require_timescaledb, shortcoming
from ticks_platform_tests.support import skips


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


@pytest.fixture
def server() -> Iterator[Callable[[str], Database]]:
    """Starts a PostgreSQL of one's own with a line of configuration; where there is one to start."""
    initdb, pg_ctl = shutil.which("initdb"), shutil.which("pg_ctl")
    if initdb is None or pg_ctl is None:
        skips.skip(skips.ONLY_NATIVE, "no initdb to start one with other settings")
    # It refuses to be run by root.
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None and user not in {entry.pw_name for entry in pwd.getpwall()}:
        skips.skip(skips.ONLY_NATIVE, "root cannot start one, and there is no user postgres")
    # Short, since it is part of the path of a socket.
    folder = Path(tempfile.mkdtemp(prefix="ticks_pg_"))
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"

    def run(*command: str) -> None:
        done = subprocess.run(command, user=user, cwd=folder, stdout=subprocess.DEVNULL, timeout=120, check=False)
        log = (folder / "log").read_text(encoding="utf-8") if (folder / "log").exists() else ""
        if 'could not access file "timescaledb"' in log:
            skips.skip(skips.ONLY_NATIVE, "the PostgreSQL here has no TimescaleDB")
        assert done.returncode == 0, log

    def start(settings: str) -> Database:
        run(initdb, "-D", str(data), "-U", "ticks", "-A", "trust", "--no-sync")
        with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"listen_addresses = ''\nunix_socket_directories = '{folder}'\nfsync = off\n{settings}\n")
        run(pg_ctl, "-D", str(data), "-w", "-l", str(folder / "log"), "start")
        return Database(f"postgresql://ticks@/postgres?host={folder}")

    try:
        yield start
    finally:
        if (data / "postmaster.pid").exists():
            run(pg_ctl, "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


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
