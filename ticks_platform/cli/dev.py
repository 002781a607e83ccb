"""``ticks dev``: `dagster dev` for the project in this folder, and the live page."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import psycopg2

import embedded_timescale
from ticks_platform.cli.live import listen
from ticks_platform.cli.output import echo
from ticks_platform.cli.project import CommandError, project
from ticks_platform.feeds.settings import load_settings
from ticks_platform.live import server
from ticks_platform.paths import make_private, state_dir
from ticks_platform.timescale.adoption import relations
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform.timescale.policies.settings import load_policies

STOP_SECONDS = 15.0
"""Seconds that Dagster and its runs have to end after Ctrl-C; what is left then is killed."""

LIVE_RESTART_SECONDS = 5.0
"""Seconds between starts of the live page, should it end by itself."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the web UI.")
@click.option("--port", default=3000, show_default=True, help="Port of the web UI.")
@click.option("--live-port", type=int, help="Port of the live page, on loopback. Default: the one after --port.")
@click.pass_context
def dev(context: click.Context, host: str, port: int, live_port: int | None) -> None:
    """Run the platform, Dagster's web UI and the live page until Ctrl-C or SIGTERM.

    What is kept is in the project: Dagster's history in .dagster_home, journals and the embedded database in .ticks.
    The embedded database ends five minutes after its last client, a stand-in two minutes after its feed.
    """
    root = project()
    for name in ("workspace.yaml", "dagster.yaml"):
        if not (root / name).exists():
            raise CommandError(f"{root} has no {name}: `ticks init DIR` creates a project")
    # Said here, or else in the middle of Dagster's log.
    load_settings(root / "feeds.yaml")
    load_policies(root / "policies.yaml")
    _check_port(host, port)
    environment = {**os.environ, "TICKS_PROJECT_DIR": str(root)}
    # Dagster's word that something of it may change is for whoever writes the platform.
    environment.setdefault("PYTHONWARNINGS", "ignore:Parameter,ignore:Function")
    if environment.pop("DAGSTER_HOME", None):
        echo("DAGSTER_HOME is unset here, so that dagster.yaml of this project is used", err=True)
    # Dagster's history has what runs have logged, and the journals what a feed has sent.
    os.umask(0o077)
    make_private(root / ".dagster_home")
    with _only_one(root):
        if not environment.get("TICKS_DATABASE_URL"):
            try:
                embedded_timescale.ensure_running(state_dir() / "timescaledb")
            except embedded_timescale.EmbeddedError as error:
                raise CommandError(str(error)) from error
        _check_tables(Database.from_environment())
        command = [str(_beside_python("dagster")), "dev", "--host", host, "--port", str(port), "--log-level", "warning"]
        with listen(live_port if live_port is not None else port + 1 if port else 0) as listening:
            url = server.address(listening)
            # The assets link to it.
            environment["TICKS_LIVE_URL"] = url
            live = LivePage(listening, root, environment)
            ready = _Ready(host, port, f"Dagster: http://{host}:{port}\nlive page: {url}")
            context.exit(_run(command, root, environment, live, ready))


def _check_tables(database: Database) -> None:
    """Every run would fail. That a database is away, or lacks TimescaleDB, is told by the runs."""
    with suppress(DatabaseUnavailableError, psycopg2.Error), database.transaction() as cursor:
        cursor.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'")
        foreign = relations.find(cursor) if cursor.rowcount else []
        if foreign:
            raise CommandError(f"{database.description}: {relations.message(foreign)}")


def _check_port(host: str, port: int) -> None:
    if not port:
        return
    try:
        socket.create_server((host, port), reuse_port=False).close()
    except OSError as error:
        raise CommandError(
            f"port {port} on {host} cannot be used ({error.strerror}): end what listens there, or choose another --port"
        ) from None


@contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """Two at once would both launch runs, and each would end those of the other."""
    state_dir().mkdir(parents=True, exist_ok=True)
    with (state_dir() / "dev.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CommandError(f"`ticks dev` runs already for {root}, as process {file.read().strip()}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class LivePage:
    """The process of the live page. It is started again should it end; the socket stays, so its address does too."""

    def __init__(self, listening: socket.socket, root: Path, environment: dict[str, str]) -> None:
        self._listening = listening
        self._root = root
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = float("-inf")

    def keep_running(self) -> None:
        """Start it, if it does not run."""
        if self._process is not None and self._process.poll() is None:
            return
        if time.monotonic() < self._started_at + LIVE_RESTART_SECONDS:
            return
        if self._process is not None:
            echo(f"the live page ended with exit code {self._process.returncode}; starting it again", err=True)
        self._started_at = time.monotonic()
        fd = self._listening.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ticks_platform.cli.main", "live", "--fd", str(fd)],
            cwd=self._root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            pass_fds=(fd,),
            start_new_session=True,
        )

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self, seconds: float) -> None:
        """Kill it if it does not end within these seconds."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            self._process.kill()
            self._process.wait()


class _Ready:
    """Says where everything is once the web UI accepts connections, so that it comes after the lines of the start."""

    def __init__(self, host: str, port: int, text: str) -> None:
        self._address = (host, port)
        self._text: str | None = text

    def look(self) -> None:
        """Look whether it does, and say so once."""
        if self._text is None:
            return
        if self._address[1]:
            try:
                socket.create_connection(self._address, timeout=1.0).close()
            except OSError:
                return
        echo(self._text)
        self._text = None


def _run(command: list[str], root: Path, environment: dict[str, str], live: LivePage, ready: _Ready) -> int:
    """Run until it ends or a signal comes; then end it with all its processes. Returns the exit code.

    In a session of its own, since Dagster ends all of its processes only if each of them gets the signal.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also where the shell has set them to be ignored, as for a command with `&` in a script.
        signal.signal(number, lambda *_: stop.set())
    process = subprocess.Popen(command, cwd=root, env=environment, start_new_session=True)
    try:
        while process.poll() is None and not stop.wait(0.2):
            live.keep_running()
            ready.look()
        live.stop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        live.kill(2.0)
    return 0 if stop.is_set() else process.returncode


def _beside_python(name: str) -> Path:
    """A command of the environment that this one runs in, also where that is not activated."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise CommandError(f"there is no `{name}` command: pip install dagster dagster-webserver")
    return Path(found)
