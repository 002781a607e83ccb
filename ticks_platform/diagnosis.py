"""What keeps a project from working: asked of everything that it needs, each answer with what to do."""

from __future__ import annotations

import contextlib
import enum
import http.client
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import psycopg2

from ticks_platform import http_date, local_feeds
from ticks_platform.errors import ActionRequiredError
from ticks_platform.feeds.events import Refused
from ticks_platform.feeds.settings import STAND_IN, FeedSettings, PlatformSettings, SettingsError, load_settings
from ticks_platform.feeds.transport.pool import ConnectionPool
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion import lease
from ticks_platform.ingestion.journal.file import JournalError
from ticks_platform.ingestion.journal.journal_pair import journal_pair
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.paths import journal_path, running_dev, state_dir
from ticks_platform.settings_file import did_you_mean
from ticks_platform.timescale import privileges, requirements, sql_files
from ticks_platform.timescale.adoption import relations
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform.timescale.policies.settings import load_policies

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

TESTED = "PostgreSQL 18 with TimescaleDB 2.29.2, and the embedded database (PostgreSQL 17.5, TimescaleDB 2.23)"
RECOMMENDED = (2, 29)
"""The oldest release of TimescaleDB without a known bug that gives wrong candles or stuck jobs."""

CLOCK_TOLERANCE = 2.0
"""Seconds that the clock may differ from a server's; an answer's Date has whole seconds."""

CONNECT_SECONDS = 8.0
"""Seconds in which a provider has to let this client in."""

ALIVE_WITHIN = 30.0
"""Seconds since its heartbeat within which a feed counts as being ingested, and is left alone."""

VARIABLES = {
    "TICKS_DATABASE_URL",
    "TICKS_ALERT_WEBHOOK",
    "TICKS_READER_ROLE",
    "TICKS_PROJECT_DIR",
    "TICKS_STATE_DIR",
    "TICKS_CACHE_DIR",
    "TICKS_LIVE_URL",
    "TICKS_FROM_ENV_FILE",
    "TICKS_EMBEDDED_IDLE_SECONDS",
    "TICKS_EMBEDDED_STATEMENT_SECONDS",
    "TICKS_EMBEDDED_WAIT_SECONDS",
}
"""Environment variables that the platform reads."""

_OTHER_VARIABLES = ("TICKS_GRAFANA_", "TICKS_TEST_", "TICKS_SOAK_", "TICKS_GAP_", "TICKS_DB_", "TICKS_STRICT_")
"""What Grafana, the tests and compose.yaml read."""

SPARE_BYTES = 1 << 30
"""Free space, beside what the journals may take, below which a disk counts as nearly full."""


class Level(enum.Enum):
    """What a finding asks for."""

    OK = "ok"
    NOTE = "note"
    FIX = "FIX"


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: Level
    subject: str
    text: str


def examine(project: Path, database: Database, *, connect: bool, ui_port: int) -> Iterator[Finding]:
    """Look at everything, in the order in which things depend on each other."""
    settings = None
    try:
        settings = load_settings(project / "feeds.yaml")
    except SettingsError as error:
        yield Finding(Level.FIX, "feeds.yaml", str(error))
    else:
        yield Finding(Level.OK, "feeds.yaml", f"feeds {', '.join(feed.name for feed in settings.feeds)} in {project}")
    try:
        load_policies(project / "policies.yaml")
    except SettingsError as error:
        yield Finding(Level.FIX, "policies.yaml", str(error))
    else:
        yield Finding(Level.OK, "policies.yaml", "read")
    yield from _variables(settings)
    yield from _overrides(project)
    busy: set[str] = set()
    yield from _database(database, settings, busy)
    if settings is not None:
        yield from _disk(settings)
        yield from _journals(settings)
        for feed in settings.feeds:
            yield from _feed(settings, feed, connect=connect, is_ingested=feed.name in busy)
    yield from _ports(settings, ui_port, busy)


def unknown_variables(settings: PlatformSettings | None) -> list[str]:
    """In words, each variable that nobody reads, such as a misspelt one."""
    keys = {feed.api_key_env for feed in settings.feeds} if settings is not None else set()
    return [
        f"{name} is set, and nothing reads it{did_you_mean(name.upper(), VARIABLES)}"
        for name in sorted(os.environ)
        if name.startswith("TICKS_") and name not in VARIABLES | keys and not name.startswith(_OTHER_VARIABLES)
    ]


def _variables(settings: PlatformSettings | None) -> Iterator[Finding]:
    for text in unknown_variables(settings):
        yield Finding(Level.NOTE, "environment", text)
    source = "named by TICKS_DATABASE_URL" if os.environ.get("TICKS_DATABASE_URL") else "TICKS_DATABASE_URL is not set"
    yield Finding(Level.OK, "environment", f"database: {source}")


def _overrides(project: Path) -> Iterator[Finding]:
    found, unknown = sql_files.overrides(project)
    for name in found:
        yield Finding(Level.NOTE, "override", f"sql/{name} of this project is used in place of the platform's own")
    for name in unknown:
        yield Finding(
            Level.FIX,
            "override",
            f"sql/{name} is not a file that a project may override, and is not used: only those of "
            f"{' and '.join(sql_files.MAY_BE_OVERRIDDEN)} are, under the same name. Rename or remove it",
        )


def _database(database: Database, settings: PlatformSettings | None, busy: set[str]) -> Iterator[Finding]:
    subject = "database"
    try:
        with database.transaction() as cursor:
            before = time.time()
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8, current_setting('server_version')")
            now, version = cursor.fetchone() or (0.0, "?")
            after = time.time()
    except DatabaseUnavailableError as error:
        yield Finding(
            Level.FIX, subject, f"{error}. Start it, or set TICKS_DATABASE_URL to postgresql://user:password@host/name"
        )
        return
    yield Finding(Level.OK, subject, f"PostgreSQL {version}, {database.description}")
    yield _clock_finding("the database's", now - after, now - before, "the clock of the database's server")
    try:
        with database.transaction() as cursor:
            yield from _extension(cursor)
            yield from _tables(cursor)
            yield from _grants(cursor)
            if settings is not None:
                busy |= _ingested(cursor, [feed.name for feed in settings.feeds])
            cursor.connection.rollback()
    except ActionRequiredError as error:
        yield Finding(Level.FIX, "TimescaleDB", str(error))
    except (psycopg2.Error, DatabaseUnavailableError) as error:
        yield Finding(Level.FIX, subject, f"{database.description}: {str(error).strip()}")


def _extension(cursor: Cursor) -> Iterator[Finding]:
    server = requirements.require_timescaledb(cursor)
    release = tuple(int(part) for part in server.version.partition("-")[0].split(".")[:2])
    # Only the embedded database's engine is of a development version.
    is_embedded = "dev" in server.version
    if release < RECOMMENDED and not is_embedded:
        yield Finding(
            Level.NOTE,
            "TimescaleDB",
            f"{server.version}, community edition; tested is {TESTED}. Some releases before 2.29.2 compute wrong "
            "candles or have jobs that hang: update with ALTER EXTENSION timescaledb UPDATE",
        )
    else:
        which = "that of the embedded database" if is_embedded else "community edition"
        yield Finding(Level.OK, "TimescaleDB", f"{server.version}, {which} (tested: {TESTED})")


def _tables(cursor: Cursor) -> Iterator[Finding]:
    foreign = relations.find(cursor)
    if foreign:
        yield Finding(Level.FIX, "tables", relations.message(foreign))
    else:
        yield Finding(Level.OK, "tables", "no table of others has a name of the platform's")


def _grants(cursor: Cursor) -> Iterator[Finding]:
    missing = privileges.missing(cursor)
    for what, statement in missing:
        yield Finding(
            Level.FIX, "grants", f"the user of TICKS_DATABASE_URL may not {what}: let its owner run {statement}"
        )
    if not missing:
        yield Finding(Level.OK, "grants", "tables, schemas and candles can be created")


def _ingested(cursor: Cursor, feeds: list[str]) -> set[str]:
    cursor.execute("SELECT to_regclass('ticks_platform.feed_lease') IS NOT NULL")
    if not (cursor.fetchone() or (False,))[0]:
        return set()
    held = {feed: lease.status(cursor, feed) for feed in feeds}
    return {feed for feed, each in held.items() if each and not each.released and each.age <= ALIVE_WITHIN}


def _clock_finding(subject: str, least: float, most: float, where: str) -> Finding:
    """`least` and `most` are seconds by which the other clock may be ahead of ours: a slow answer leaves both open."""
    offset = least if least > 0 else min(most, 0.0)
    if abs(offset) <= CLOCK_TOLERANCE:
        return Finding(Level.OK, "clock", f"agrees with {subject} clock")
    word = "behind" if offset > 0 else "ahead of"
    return Finding(
        Level.FIX,
        "clock",
        f"this machine is {abs(offset):.0f} s {word} {where}. Let both be set by NTP: `timedatectl set-ntp true`, or "
        "`chronyc makestep` where chrony runs; a container has its host's clock. Until then, times of arrival are "
        "corrected as far as the event times and the servers agree, and refreshes and retention follow the database's "
        "clock",
    )


def _disk(settings: PlatformSettings) -> Iterator[Finding]:
    folder = state_dir()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    # The journals may have a disk of their own, such as a volume of a container.
    journals = journal_path("any").parent
    if not journals.is_dir():
        journals = folder
    for each in dict.fromkeys((folder, journals)):
        try:
            probe = each / f".doctor-{os.getpid()}"
            try:
                probe.write_bytes(bytes(1 << 16))
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            yield Finding(
                Level.FIX,
                "disk",
                f"{each} cannot be written: {error.strerror}. Free some space, or set TICKS_STATE_DIR",
            )
            return
    free = shutil.disk_usage(journals).free
    wanted = sum(feed.journal.max_megabytes for feed in settings.feeds) << 20
    if free < wanted:
        yield Finding(
            Level.FIX,
            "disk",
            f"{free >> 20} MB are free in {journals}, and the journals may take {wanted >> 20} MB while the database "
            "is away: free some space, lower journal.max_megabytes in feeds.yaml, or set TICKS_STATE_DIR",
        )
    elif free < wanted + SPARE_BYTES:
        yield Finding(
            Level.NOTE, "disk", f"{free >> 20} MB are free in {journals}, journals may take {wanted >> 20} MB"
        )
    else:
        yield Finding(
            Level.OK, "disk", f"{free >> 20} MB are free in {journals}; journals take {wanted >> 20} MB at most"
        )


def _journals(settings: PlatformSettings) -> Iterator[Finding]:
    for feed in settings.feeds:
        for path in journal_pair(journal_path(feed.name)):
            if path.exists():
                try:
                    with journal_view(path) as journal:
                        owner = journal.feed
                except JournalError as error:
                    yield Finding(Level.FIX, f"feed {feed.name}", str(error))
                    continue
                if owner != feed.name:
                    yield Finding(
                        Level.FIX, f"feed {feed.name}", f"{path} is the journal of feed '{owner}': move it away"
                    )


def _feed(settings: PlatformSettings, feed: FeedSettings, *, connect: bool, is_ingested: bool) -> Iterator[Finding]:
    subject = f"feed {feed.name}"
    try:
        if feed.endpoint != STAND_IN:
            feed.connector()
    except SettingsError as error:
        yield Finding(Level.FIX, subject, str(error))
        return
    if is_ingested:
        yield Finding(Level.OK, subject, "is being ingested")
        return
    if feed.endpoint == STAND_IN:
        yield Finding(Level.OK, subject, "synthetic ticks of the stand-in")
        return
    if not connect:
        yield Finding(Level.NOTE, subject, "not connected to (--offline)")
        return
    yield from _feed_clock(feed)
    yield _try_connection(settings, feed)


def _feed_clock(feed: FeedSettings) -> Iterator[Finding]:
    """The clock beside the Date of an answer of the feed's server, which tells no more than whole seconds."""
    parts = urlsplit(feed.connector().endpoint().url)
    kind = http.client.HTTPSConnection if parts.scheme == "wss" else http.client.HTTPConnection
    try:
        with contextlib.closing(kind(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)) as connection:
            before = time.time()
            connection.request("HEAD", "/")
            answer = connection.getresponse()
            after = time.time()
    except (OSError, http.client.HTTPException):
        return
    at = http_date.moment(answer.getheader("Date") or "")
    # The Date of a cache is that of another answer.
    if at is not None and answer.getheader("Age") is None:
        # A Date is cut off to the second that it is in.
        yield _clock_finding(
            "the provider's", at - after, at + 1 - before, f"the Date of the server of feed {feed.name}"
        )


def _try_connection(settings: PlatformSettings, feed: FeedSettings) -> Finding:
    subject = f"feed {feed.name}"
    known = threading.Event()
    last: list[Change] = []

    def note(change: Change) -> None:
        last.append(change)
        if change.notice is not None or change.state in (State.STREAMING, State.BACKING_OFF, State.REFUSED):
            known.set()

    pool = ConnectionPool(
        local_feeds.connector(settings, feed),
        symbols=feed.symbol_names()[:1],
        capacity=None,
        on_frames=lambda _frames: None,
        on_change=note,
        feed=feed.name,
    )
    failure: list[BaseException] = []

    def run() -> None:
        try:
            pool.run()
        except BaseException as error:  # noqa: BLE001  (told below)
            failure.append(error)

    thread = threading.Thread(target=run, name=f"doctor-{feed.name}", daemon=True)
    thread.start()
    known.wait(CONNECT_SECONDS)
    pool.stop()
    thread.join(CONNECT_SECONDS)
    refused = next((change.notice for change in last if isinstance(change.notice, Refused)), None)
    if failure or refused is not None:
        # A run asks a second time, some time later; here, one answer is enough.
        what = str(failure[0]) if refused is None else refused.reason
        remedy = "see the message" if refused is None else "correct the key"
        name = feed.api_key_env
        return Finding(Level.FIX, subject, f"{what}: {remedy}{f' in {name}' if name else ''}")
    if not last or last[-1].state in (State.CONNECTING, State.BACKING_OFF):
        return Finding(Level.FIX, subject, f"cannot connect: {last[-1].detail if last else 'no answer'}")
    lost = next((change for change in last if change.state is State.BACKING_OFF), None)
    if lost is not None:
        return Finding(Level.FIX, subject, f"cannot stay connected: {lost.detail}")
    return Finding(Level.OK, subject, f"the provider lets this client in ({last[-1].state.value})")


def _ports(settings: PlatformSettings | None, ui_port: int, busy: set[str]) -> Iterator[Finding]:
    running = running_dev()
    ports = []
    if running is None:
        ports.append((ui_port, "web UI", "is another program's: end it, or choose another one with --port"))
    else:
        yield Finding(Level.OK, "port", f"`ticks dev` is running: {running}")
    for feed in settings.feeds if settings is not None else ():
        if feed.metrics_port is not None and feed.name in busy:
            yield Finding(Level.OK, "port", f"{feed.metrics_port} (metrics of feed {feed.name}): its run has it")
        elif feed.metrics_port is not None:
            ports.append((feed.metrics_port, f"metrics of feed {feed.name}", "set another metrics_port"))
    for port, use, remedy in ports:
        try:
            with contextlib.closing(socket.create_server(("127.0.0.1", port))):
                pass
        except OSError:
            yield Finding(Level.NOTE, "port", f"{port} ({use}) is taken: {remedy}")
        else:
            yield Finding(Level.OK, "port", f"{port} ({use}) is free")
