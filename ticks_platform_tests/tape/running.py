"""Runs cases through the platform, each in an emptied database."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import psycopg2
import sqlalchemy
import yaml

import embedded_timescale
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings, SettingsError, load_settings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.repair import true_up, true_up_days
from ticks_platform.ingestion.replay import replay
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.paths import shipped
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import candles, late_ticks, rebuild
from ticks_platform.timescale.candles.candles import ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies.settings import load_policies
from ticks_platform_tests.support.platform_database import FILES, PlatformDatabase
from ticks_platform_tests.tape import comparing, variants
from ticks_platform_tests.tape.case import REFUSED_IF_PRIMARY, Case
from ticks_platform_tests.tape.case import Frame as CaseFrame
from ticks_platform_tests.tape.provider import Provider

KEY = "TICKS_TAPE_KEY"
"""Environment variable with a key that the provider on loopback does not look at."""

TIMEOUT = 30.0
"""Seconds that frames may take from the socket into the database."""


class Outcome(NamedTuple):
    """What came of a case in one variant."""

    variant: str
    wrong: tuple[str, ...]
    """What was expected and what came, in lines; nothing if it is right."""


@contextlib.contextmanager
def fresh_database() -> Iterator[PlatformDatabase]:
    """The platform in a database of its own: on the server of TICKS_TEST_DATABASE_URL, or an embedded one."""
    server = os.environ.get("TICKS_TEST_DATABASE_URL")
    if server is None:
        with tempfile.TemporaryDirectory(prefix="ticks_tape_") as folder:
            data_dir = Path(folder) / "data"
            try:
                yield PlatformDatabase(Database(embedded_timescale.ensure_running(data_dir)), FILES, native=False)
            finally:
                embedded_timescale.stop(data_dir)
        return
    name = f"ticks_tape_{uuid.uuid4().hex[:12]}"
    _administer(server, f'CREATE DATABASE "{name}"')
    try:
        url = sqlalchemy.make_url(server).set(database=name).render_as_string(hide_password=False)
        yield PlatformDatabase(Database(url), FILES, native=True)
    finally:
        _administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def _administer(url: str, statement: str) -> None:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def run(case: Case, platform: PlatformDatabase, variant: str = variants.PLAIN) -> Outcome:
    """Run a case, and compare its candles with the expected ones. An error of the platform is what came."""
    with tempfile.TemporaryDirectory(prefix="ticks_case_") as folder, _environment(Path(folder)):
        try:
            wrong = _Run(case, platform, variant, Path(folder)).wrong()
        except Exception as error:  # noqa: BLE001  (whatever is raised, the other cases are run)
            wrong = [f"came {type(error).__name__}: {error}"]
    return Outcome(variant, tuple(wrong))


@contextlib.contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """Project and state of one case; and no other project's files."""
    new = {"TICKS_PROJECT_DIR": str(folder), "TICKS_STATE_DIR": str(folder / "state"), KEY: "no secret"}
    before = {name: os.environ.get(name) for name in new}
    os.environ.update(new)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Run:
    """One case in one variant."""

    def __init__(self, case: Case, platform: PlatformDatabase, variant: str, folder: Path) -> None:
        self._case = case
        self._platform = platform
        self._variant = variant
        self._folder = folder

    def wrong(self) -> list[str]:
        """What is wrong, in lines."""
        case = self._case
        with Provider(rest=case.rest, bars=case.bars) as provider:
            feeds = self._settings(provider)
            wrong = self._check_that_primary_ones_are_refused(feeds)
            try:
                settings = self._load(feeds)
            except SettingsError as error:
                if case.refusal is None:
                    return [f"expected candles, came a refusal: {error}"]
                return _unnamed(str(error), case.refusal)
            if case.expected is None:
                return ["expected a refusal, came none"]
            database = self._platform.reset()
            for feed in settings:
                self._ingest(feed, database, provider)
            self._refresh(database)
            notes: list[str] = []
            if self._variant == "compression":
                _compress(database)
            if case.has_true_up:
                if case.expected_before is not None:
                    wrong += [f"before the true-up: {line}" for line in _differences(database, case.expected_before)]
                notes = [note for feed in settings for note in self._true_up(feed, database)]
                self._refresh(database)
            if self._variant == "rebuild":
                self._rebuild(database)
            after = _differences(database, case.expected)
            return wrong + (notes + after if after else [])

    # Settings.

    def _settings(self, provider: Provider) -> dict[str, dict[str, object]]:
        """feeds.yaml of the case, with the provider on loopback as the endpoint."""
        return {
            feed.name: {
                **feed.settings,
                "endpoint": provider.url,
                "api_key_env": KEY,
                # The gaps between the runs, which would be repaired first, are in no case.
                "repair": {"enabled": False, "delay_seconds": 0, "requests_per_minute": 10_000},
            }
            for feed in self._case.feeds
        }

    def _load(self, feeds: Mapping[str, object]) -> tuple[FeedSettings, ...]:
        file = self._folder / "feeds.yaml"
        file.write_text(yaml.safe_dump({"feeds": feeds}, sort_keys=False), encoding="utf-8")
        return load_settings(file).feeds

    def _check_that_primary_ones_are_refused(self, feeds: dict[str, dict[str, object]]) -> list[str]:
        """Where the note wants it: all primary, the same feeds are refused. Without a secondary one, all but the first
        are made secondary for what follows, as the note says.
        """
        if not REFUSED_IF_PRIMARY.search(self._case.note) or self._case.refusal is not None:
            return []
        primary = {name: {**settings, "candles": True} for name, settings in feeds.items()}
        if all(settings.get("candles", True) for settings in feeds.values()):
            for name in list(feeds)[1:]:
                feeds[name]["candles"] = False
        try:
            self._load(primary)
        except SettingsError as error:
            return _unnamed(str(error), tuple(feeds))
        return ["all primary: expected a refusal, came none"]

    # Ticks.

    def _ingest(self, feed: FeedSettings, database: Database, provider: Provider) -> None:
        frames = next(each.frames for each in self._case.feeds if each.name == feed.name)
        parts = variants.parts(self._variant, frames)
        for number, part in enumerate(parts):
            if self._variant == "replay":
                self._replay(feed, database, part, times=2)
            elif _newest(frames) > time.time_ns():
                # What is not traded yet would be refused on its arrival today.
                self._replay(feed, database, part)
            else:
                self._stream(feed, database, provider, part)
            if self._variant == "compression" and number + 1 < len(parts):
                self._refresh(database)
                _compress(database)

    def _stream(self, feed: FeedSettings, database: Database, provider: Provider, frames: Sequence[bytes]) -> None:
        """Receive frames over a WebSocket, in a run of the feed."""
        provider.play(frames)
        owner = f"tape {uuid.uuid4()}"
        with Ingestion(feed=feed, connector=feed.connector(), database=database, owner=owner) as ingestion:
            deadline = time.monotonic() + TIMEOUT
            while not provider.played or ingestion.metrics.frames < provider.sent:
                if ingestion.wait(0.005):
                    raise RuntimeError(f"the run of feed '{feed.name}' ended by itself")
                if time.monotonic() > deadline:
                    progress = ingestion.progress()
                    raise TimeoutError(f"{progress.frames} of {provider.sent} frames in {TIMEOUT:g} s: {progress}")

    def _replay(self, feed: FeedSettings, database: Database, frames: Sequence[bytes], *, times: int = 1) -> None:
        """Load a journal's frames; if more than once, the other times must change nothing."""
        path = self._folder / f"recorded_{feed.name}_{uuid.uuid4().hex}.sqlite3"
        with contextlib.closing(Journal(path, feed=feed.name, synthetic=feed.synthetic)) as journal:
            everything = next(each.frames for each in self._case.feeds if each.name == feed.name)
            arrival = max(time.time_ns(), _newest(everything))
            journal.append([Frame(data, arrival + number, 1) for number, data in enumerate(frames)], epoch=1)
        for _ in range(times):
            replay(path, feed=feed, database=database)

    # Candles.

    def _refresh(self, database: Database) -> None:
        with database.autocommit() as cursor:
            kept = candles.kept_ranges(cursor)
            for begin, end in kept:
                late_ticks.refresh_days(cursor, begin, end)

    def _rebuild(self, database: Database) -> None:
        """Let the project have a definition of its own, with a column more, and rebuild the candles after it."""
        text = sql_files.read(ONE_MINUTE.file)
        own = self._folder / "sql" / ONE_MINUTE.file
        own.parent.mkdir(parents=True)
        changed = text.replace("    count(*) AS tick_count,", "    count(*) AS tick_count,\n    count(*) AS rows,")
        assert changed != text, "the definition has no such column"
        own.write_text(changed, encoding="utf-8")
        try:
            with database.transaction() as cursor:
                planned = rebuild.plan(cursor, ONE_MINUTE)
            assert planned.drift is not None, "there is nothing to rebuild"
            rebuild.rebuild(database, planned, load_policies(shipped("policies.yaml")), lambda _said: None)
        finally:
            shutil.rmtree(self._folder / "sql")

    def _true_up(self, feed: FeedSettings, database: Database) -> list[str]:
        """The true-up of each day that has ticks, over HTTP; returns why days have none, or are not complete."""
        history = feed.history()
        reason = true_up_days.obstacle(feed, history)
        if history is None or reason is not None:
            return [f"the true-up of feed '{feed.name}' is not made: {reason}"]
        problems = []
        for day in _days(database, feed.name):
            options = {"folder": self._folder / "pages", "backoff": 0.05, "owner": f"tape {uuid.uuid4()}"}
            report = true_up.run(feed=feed, history=history, database=database, day=day, **options)
            if report.reason or report.left or report.failed:
                problems.append(f"the true-up of feed '{feed.name}', {day}, is not complete: {report}")
        return problems


def _newest(frames: Iterable[CaseFrame]) -> int:
    """The newest time in these frames, in nanoseconds since the Unix epoch; their numbers are seconds or fractions."""
    stamps = [
        float(key[2]) for frame in frames for key in frame.keys if key[0] == "time" and isinstance(key[2], int | float)
    ]
    newest = max(stamps, default=0.0)
    while newest and newest < 1e18:
        newest *= 1000
    return int(newest)


def _differences(database: Database, expected: Sequence[Mapping[str, object]]) -> list[str]:
    with database.transaction() as cursor:
        return comparing.differences(expected, comparing.stored(cursor))


def _days(database: Database, feed: str) -> list[date]:
    """The days, in UTC and in New York, that have ticks of a feed."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT (time AT TIME ZONE zone)::date
            FROM stocks_real_time, unnest(ARRAY['UTC', 'America/New_York']) AS zone
            WHERE feed = %s
            ORDER BY 1
            """,
            (feed,),
        )
        return [day for (day,) in cursor.fetchall()]


def _compress(database: Database) -> None:
    with database.autocommit() as cursor:
        cursor.execute("SELECT compress_chunk(chunk, true) FROM show_chunks('stocks_real_time') AS chunk")


def _unnamed(message: str, words: Sequence[str]) -> list[str]:
    missing = [word for word in words if word.lower() not in message.lower()]
    return [f"expected a refusal that says {', '.join(missing)}, came: {message}"] if missing else []
