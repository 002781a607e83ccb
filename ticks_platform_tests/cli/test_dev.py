"""`ticks dev` as a process: what it says, how it ends, and what it refuses in words."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticks_platform_tests.support.dagster_dev import eventually
from ticks_platform_tests.support.ports import free_port

pytestmark = pytest.mark.full

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A project that `ticks init` made, outside of the checkout."""
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "ticks_platform.cli.main", "init", str(folder)]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL)
    yield folder
    # Of a test that failed.
    left = [number for number, command in processes(folder).items() if "ticks_platform.cli.main dev" in command]
    for number in left:
        os.kill(number, signal.SIGTERM)
    eventually("it has ended", 60, lambda: not set(left) & processes(folder).keys())
    subprocess.run(
        [sys.executable, "-m", "embedded_timescale", "stop", "--data-dir", str(folder / ".ticks" / "timescaledb")],
        check=True,
        cwd=REPOSITORY,
        timeout=60,
    )
    for file in (folder / ".ticks" / "stand-in").glob("*.json"):
        file.unlink()


def environment(**more: str) -> dict[str, str]:
    """That of the tests without what names a project or a database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TICKS_", "DAGSTER_"))}
    cache = {name: os.environ[name] for name in ("TICKS_CACHE_DIR",) if name in os.environ}
    return {**kept, **cache, "PYTHONPATH": str(REPOSITORY), **more}


def start(folder: Path, *options: str, ignore_interrupts: bool = False, **more: str) -> subprocess.Popen[str]:
    """Start it; with `ignore_interrupts` as a script does with `nohup ticks dev &`."""
    return subprocess.Popen(
        [sys.executable, "-m", "ticks_platform.cli.main", "dev", *options],
        cwd=folder,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=(folder.parent / "said.txt").open("w"),
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: _set_signals(ignore_interrupts=ignore_interrupts),
    )


def _set_signals(*, ignore_interrupts: bool) -> None:
    """As in a terminal, or behind `&` in a script; whoever starts the tests may have done so with nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignore_interrupts else signal.SIG_DFL)


def said(folder: Path) -> str:
    return (folder.parent / "said.txt").read_text(encoding="utf-8")


def processes(folder: Path) -> dict[int, str]:
    """Processes whose command, or whose folder, is of this project."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if entry.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    continue
                where = str((entry / "cwd").readlink())
            except OSError:
                continue
            if str(folder) in command or where.startswith(str(folder)):
                found[int(entry.name)] = command
    return found


def statuses(folder: Path) -> dict[str, str]:
    """That of each job's newest run, in Dagster's history."""
    with contextlib.closing(sqlite3.connect(folder / ".dagster_home" / "history" / "runs.db")) as history:
        return dict(history.execute("SELECT pipeline_name, status FROM runs ORDER BY id"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_it_says_little_and_ends_in_ten_seconds_with_all_but_what_it_names(folder: Path, number: int) -> None:
    port = free_port()
    process = start(folder, "--port", str(port), ignore_interrupts=True)
    try:
        eventually("it says where all is", 240, lambda: "live page: http" in said(folder) or process.poll())
        assert f"\nDagster: http://127.0.0.1:{port}\nlive page: http" in said(folder)
        eventually("the feed is ingested", 120, lambda: statuses(folder).get("ingest") == "STARTED")
        # A second one, and what the doctor says meanwhile.
        second = subprocess.run(
            [sys.executable, "-m", "ticks_platform.cli.main", "dev"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 1
        assert f"runs already for {folder}, as process {process.pid}, http://127.0.0.1:{port}" in second.stderr
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(30) == 0
        assert time.monotonic() - began < 10
        lines = said(folder).splitlines()
        assert len(lines) < 20, lines
        assert "Traceback" not in said(folder)
        assert "FAILURE" not in said(folder)
        left = set(map(int, re.findall(r"process (\d+)", lines[-1])))
        assert lines[-1].startswith("stopped; still running: the embedded database (process ")
        assert set(processes(folder)) <= left
        assert statuses(folder)["ingest"] == "CANCELED", "red, where nothing has failed"
        assert "FAILURE" not in statuses(folder).values()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


GROUP = """\
feeds:
  shares: {provider: twelve_data, endpoint: stand-in, group: small, symbols: [AAPL], repair: {enabled: false}}
  coins: {provider: twelve_data, endpoint: stand-in, group: small, symbols: [BTC/USD], repair: {enabled: false}}
"""


def ingested_by(folder: Path, *, instead_of: str | None = None) -> str | None:
    """The run that ingests both feeds, once it is one alone, as `ticks status` says."""
    command = [sys.executable, "-m", "ticks_platform.cli.main", "status", "--json"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    with contextlib.suppress(ValueError):
        owners = [each["owner"] for each in json.loads(done.stdout)["feeds"] if each["ingesting"]]
        if len(owners) == 2 and len({*owners}) == 1 and owners[0] != instead_of:
            return str(owners[0])
    return None


def test_feeds_of_a_group_go_on_while_the_code_server_is_killed_and_started_again(folder: Path) -> None:
    """As by the system where memory runs out: without it no sensor runs, and Dagster does not start another one."""
    (folder / "feeds.yaml").write_text(GROUP, encoding="utf-8")
    process = start(folder, "--port", str(free_port()))
    try:
        run = eventually("one run ingests both feeds", 240, lambda: process.poll() or ingested_by(folder))
        assert process.poll() is None, said(folder)
        (server,) = (pid for pid, command in processes(folder).items() if "dagster api grpc" in command)
        os.kill(server, signal.SIGKILL)
        eventually("it is started again", 240, lambda: "the code server of demo runs again" in said(folder))
        # A reload hands feeds over that may overlap: the new server launches runs, and Dagster finds it.
        eventually("another run ingests both", 240, lambda: ingested_by(folder, instead_of=run))
        assert said(folder).count("the code server of demo was killed, or hangs; starting it again") == 1
        assert "DagsterUserCodeUnreachableError" not in said(folder)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "Traceback" not in said(folder)


def test_a_taken_port_is_said(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(folder, "--port", str(port))
        assert process.wait(60) == 1
    assert f"port {port} on 127.0.0.1 cannot be used (Address already in use)" in said(folder)
    assert "make dev PORT=" in said(folder)
    assert "Traceback" not in said(folder)


def test_a_folder_that_cannot_be_written_to_is_said(folder: Path) -> None:
    (folder / ".dagster_home").write_text("in the way of a folder", encoding="utf-8")
    process = start(folder, "--port", str(free_port()))
    assert process.wait(60) == 1
    assert f"{folder / '.dagster_home'} cannot be used" in said(folder)
    assert "Traceback" not in said(folder)


def test_what_is_misspelt_is_told(folder: Path) -> None:
    feeds = folder / "feeds.yaml"
    feeds.write_text(feeds.read_text(encoding="utf-8").replace("provider: polygon", "provider: polygn", 1))
    process = start(folder, "--port", str(free_port()), TICKS_ALERT_WEBHOK="x")
    assert process.wait(60) == 1
    assert "did you mean 'polygon'" in said(folder)
    feeds.write_text(feeds.read_text(encoding="utf-8").replace("provider: polygn", "provider: polygon", 1))
    command = [sys.executable, "-m", "ticks_platform.cli.main", "statsu"]
    wrong = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "did you mean 'status'" in wrong.stderr


def test_an_interrupt_before_dagster_is_started_is_no_traceback(folder: Path) -> None:
    process = start(folder, "--port", str(free_port()))
    eventually("it has begun", 60, lambda: "project: " in said(folder))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) in (0, 130)
    assert "stopped" in said(folder).splitlines()[-1]
    assert "Traceback" not in said(folder)
    eventually(
        "nothing but the database runs", 20, lambda: all("main.mjs" in each for each in processes(folder).values())
    )
