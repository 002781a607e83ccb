"""``ticks dev``: `dagster dev` for the project in this folder, and the live page."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psycopg2

import embedded_timescale
from embedded_timescale import install
from ticks_platform.cli.dev_code_server import CodeServer
from ticks_platform.cli.dev_output import Condenser
from ticks_platform.cli.dev_processes import LivePage, Ready, Stop, run, say
from ticks_platform.cli.live import listen
from ticks_platform.cli.output import echo, progress
from ticks_platform.cli.project import CommandError, project
from ticks_platform.diagnosis import unknown_variables
from ticks_platform.errors import ActionRequiredError
from ticks_platform.feeds.settings import PlatformSettings, load_settings
from ticks_platform.live import server
from ticks_platform.local_feeds import stand_in_file
from ticks_platform.paths import dev_lock_path, make_private, state_dir
from ticks_platform.timescale import privileges, requirements
from ticks_platform.timescale.adoption import relations
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform.timescale.policies.settings import load_policies
from ticks_standin import daemon

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the web UI.")
@click.option("--port", default=3000, show_default=True, help="Port of the web UI.")
@click.option("--live-port", type=int, help="Port of the live page, on loopback. Default: the one after --port.")
@click.pass_context
def dev(context: click.Context, host: str, port: int, live_port: int | None) -> None:
    """Run the platform, Dagster's web UI and the live page until Ctrl-C, SIGTERM, or the terminal is closed.

    What is kept is in the project: Dagster's history in .dagster_home, journals and the embedded database in .ticks.
    The embedded database ends five minutes after its last client, a stand-in two minutes after its feed.
    """
    # Before there is anything to stop, they end this process alone.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        context.exit(_dev(host, port, live_port))
    except KeyboardInterrupt:
        echo(f"stopped before Dagster was started{_alive(None)}", err=True)
        context.exit(130)


def _dev(host: str, port: int, live_port: int | None) -> int:
    root = project()
    for name in ("workspace.yaml", "dagster.yaml"):
        if not (root / name).exists():
            raise CommandError(f"{root} has no {name}: `ticks init DIR` creates a project")
    # Said here, or else in the middle of Dagster's log.
    settings = load_settings(root / "feeds.yaml")
    load_policies(root / "policies.yaml")
    echo(f"project: {root}, feeds {', '.join(feed.name for feed in settings.feeds)}")
    for text in unknown_variables(settings):
        echo(f"note: {text}", err=True)
    # Dagster's history has what runs have logged, and the journals what a feed has sent.
    os.umask(0o077)
    ui = f"http://{host}:{port}"
    with _only_one(root, ui):
        _check_port(host, port)
        make_private(root / ".dagster_home")
        environment = _environment(root)
        _database()
        with listen(live_port if live_port is not None else port + 1 if port else 0) as listening:
            url = server.address(listening)
            # The assets link to it.
            environment["TICKS_LIVE_URL"] = url
            stop, condenser = Stop(), Condenser(ui)
            stop.handle()
            CodeServer(host, port, functools.partial(say, err=True), stopping=stop.is_wanted).start()
            began = time.monotonic()
            code = run(
                [str(_beside_python("dagster")), "dev", "--host", host, "--port", str(port), "--log-level", "warning"],
                root,
                environment,
                live=LivePage(listening, root, environment),
                ready=Ready(host, port, lambda seconds: f"started in {seconds:.0f} s\nDagster: {ui}\nlive page: {url}"),
                stop=stop,
                condenser=condenser,
            )
    if not stop.is_wanted.is_set():
        say(f"Dagster ended by itself after {time.monotonic() - began:.0f} s; exit code {code}", err=True)
    say(f"stopped{_alive(settings)}")
    return code


def _environment(root: Path) -> dict[str, str]:
    """That of Dagster's processes and of the live page."""
    environment = {**os.environ, "TICKS_PROJECT_DIR": str(root)}
    # Dagster's word that something of it may change is for whoever writes the platform.
    environment.setdefault("PYTHONWARNINGS", "ignore:Parameter,ignore:Function")
    if environment.pop("DAGSTER_HOME", None):
        echo("DAGSTER_HOME is unset here, so that dagster.yaml of this project is used", err=True)
    return environment


def _database() -> None:
    """Start the embedded database, or look at the one of TICKS_DATABASE_URL. Raises CommandError if it cannot do."""
    database, began = Database.from_environment(), time.monotonic()
    is_embedded = not os.environ.get("TICKS_DATABASE_URL")
    if is_embedded:
        try:
            # It says what it does, by itself.
            install.ensure_engine()
            with progress("database: starting"):
                embedded_timescale.ensure_running(state_dir() / "timescaledb")
        except embedded_timescale.EmbeddedError as error:
            raise CommandError(str(error)) from error
    try:
        with progress("database: connecting"), database.transaction() as cursor:
            problem = _obstacle(cursor, is_embedded=is_embedded)
            # Only looked: bring_up creates what is missing.
            cursor.connection.rollback()
    except ActionRequiredError as error:
        raise CommandError(f"{database.description}: {error}") from error
    except (DatabaseUnavailableError, psycopg2.Error) as error:
        echo(f"database: {str(error).strip()}. Feeds start once it answers; `ticks doctor` says what to do", err=True)
        return
    if problem:
        raise CommandError(f"{database.description}: {problem}")
    echo(f"database: {database.description}, {time.monotonic() - began:.1f} s")


def _obstacle(cursor: Cursor, *, is_embedded: bool) -> str | None:
    """Why every run would fail, in words; None if nothing is in the way. Raises UnusableDatabaseError."""
    if not is_embedded:
        requirements.require_timescaledb(cursor)
    cursor.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'")
    foreign = relations.find(cursor) if cursor.rowcount else []
    if foreign:
        return relations.message(foreign)
    missing = privileges.missing(cursor)
    cursor.execute("SELECT to_regclass('ticks_platform.feed') IS NOT NULL")
    if missing and cursor.fetchone() == (False,):
        return "; ".join(f"its user may not {what}: let the owner run {statement}" for what, statement in missing)
    return None


def _check_port(host: str, port: int) -> None:
    if not port:
        return
    try:
        socket.create_server((host, port), reuse_port=False).close()
    except (OSError, OverflowError) as error:
        # The system's words: Python adds the address to them.
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise CommandError(
            f"port {port} on {host} cannot be used ({reason}): end what listens there, or choose another one, as in "
            "`ticks dev --port 3100` or `make dev PORT=3100`"
        ) from None


@contextmanager
def _only_one(root: Path, url: str) -> Iterator[None]:
    """Two at once would both launch runs, and each would end those of the other."""
    state_dir().mkdir(parents=True, exist_ok=True)
    with dev_lock_path().open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CommandError(f"`ticks dev` runs already for {root}, as {file.read().strip()}") from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, {url}")
        file.flush()
        yield


def _alive(settings: PlatformSettings | None) -> str:
    """What goes on for a while on purpose, for the last line."""
    alive = []
    if not os.environ.get("TICKS_DATABASE_URL"):
        found = embedded_timescale.status(state_dir() / "timescaledb", timeout_seconds=1.0)
        if found.running:
            alive.append(f"the embedded database (process {found.pid}, until five minutes after its last client)")
    for feed in settings.feeds if settings is not None else ():
        stand_in = daemon.find(stand_in_file(feed.name))
        if stand_in is not None:
            alive.append(f"the stand-in of {feed.name} (process {stand_in.pid}, for two minutes)")
    return f"; still running: {' and '.join(alive)}" if alive else "; nothing is left running"


def _beside_python(name: str) -> Path:
    """A command of the environment that this one runs in, also where that is not activated."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise CommandError(f"there is no `{name}` command: pip install dagster dagster-webserver")
    return Path(found)
