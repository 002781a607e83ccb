"""A PostgreSQL of a test's own, with a line of configuration."""

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
from ticks_platform_tests.support import skips


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
