"""`ticks doctor`: each trouble is found, with what to do, and nothing is found where there is none."""

from __future__ import annotations

import email.utils
import http.server
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ticks_platform import diagnosis
from ticks_platform.diagnosis import Level
from ticks_platform.timescale.database import Database
from ticks_platform_tests.cli.conftest import Ticks
from ticks_platform_tests.support.disks import SmallDisk

KEY = "TICKS_TEST_DOCTOR_KEY"


@contextmanager
def provider(*, status: int, clock: float = 0.0, slow: float = 0.0) -> Iterator[int]:
    """A server that answers all requests with this status, by a clock that is so many seconds ahead; its port.

    It dates an answer and sends it `slow` seconds later.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", email.utils.formatdate(time.time() + clock, usegmt=True))
            self.send_header("Content-Length", "0")
            time.sleep(slow)
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815  (names of http.server)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def feeds(folder: Path, port: int, **settings: object) -> Path:
    """A project whose feed is at this port."""
    lines = "".join(f"    {name}: {value}\n" for name, value in settings.items())
    (folder / "feeds.yaml").write_text(
        f"feeds:\n  stocks:\n    provider: twelve_data\n    endpoint: ws://127.0.0.1:{port}/\n"
        f"    api_key_env: {KEY}\n    symbols: [AAPL]\n{lines}",
        encoding="utf-8",
    )
    return folder


def to_fix(project: Path, database: Database, *, connect: bool = True) -> list[str]:
    """What has to be fixed, as «subject: text»."""
    found = diagnosis.examine(project, database, connect=connect, ui_port=0)
    return [f"{each.subject}: {each.text}" for each in found if each.level is Level.FIX]


@pytest.fixture
def project(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(demo))
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv(KEY, "wrong")
    return demo


def test_a_new_project_has_nothing_to_fix(ticks: Ticks, demo: Path, database: Database) -> None:
    done = ticks("doctor", "--port", "0", cwd=demo)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FIX" not in done.stdout
    assert "ok    TimescaleDB: " in done.stdout


def test_a_dead_database(project: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    (found,) = to_fix(project, Database(f"postgresql://nobody:s3cr3t@127.0.0.1:{port}/market"))
    assert found.startswith("database: cannot connect")
    assert "TICKS_DATABASE_URL" in found
    assert "s3cr3t" not in found


def test_missing_grants(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("CREATE ROLE doctor_reader")
        cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        cursor.execute("SET LOCAL ROLE doctor_reader")
        found = [each.text for each in diagnosis._grants(cursor)]
        cursor.execute("RESET ROLE")
        cursor.connection.rollback()
    assert any("GRANT CREATE ON DATABASE" in text and "doctor_reader" in text for text in found)
    assert any("GRANT CREATE ON SCHEMA public" in text for text in found)


def test_a_missing_key_and_a_wrong_one(project: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with provider(status=401) as port:
        feeds(project, port)
        (found,) = to_fix(project, database)
        assert "refused" in found
        assert KEY in found
        assert "wrong" not in found.replace("HTTP 401", ""), "the key is never shown"
    monkeypatch.delenv(KEY)
    (found,) = to_fix(project, database)
    assert KEY in found


def test_a_clock_that_is_ten_minutes_off(project: Path, database: Database) -> None:
    with provider(status=401, clock=600) as port:
        clock, _key = to_fix(feeds(project, port), database)
    assert clock.startswith("clock: this machine is ")
    assert int(clock.split()[4]) == pytest.approx(600, abs=2)
    assert "behind" in clock
    with provider(status=401, clock=-600) as port:
        clock, _key = to_fix(feeds(project, port), database)
    assert "ahead" in clock


@pytest.mark.full
def test_a_slow_answer_is_no_wrong_clock(project: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "CLOCK_TOLERANCE", 0.2)
    with provider(status=401, slow=2.0) as port:
        (found,) = to_fix(feeds(project, port), database)
    assert KEY in found


def test_a_provider_that_is_not_there(project: Path, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    (found,) = to_fix(feeds(project, port), database)
    assert "cannot connect" in found
    assert "feed=stocks connection=1 backing off" in caplog.text
    assert to_fix(project, database, connect=False) == []


def test_a_disk_without_room_for_the_journals(project: Path, database: Database, tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free >> 20
    with provider(status=401) as port:
        feeds(project, port, journal=f"{{max_megabytes: {2 * free}}}")
    (found,) = to_fix(project, database, connect=False)
    assert found.startswith("disk: ")
    assert "journal.max_megabytes" in found


def test_a_disk_of_the_journals_own_that_is_full(
    project: Path, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path / "state"))
    with closing(SmallDisk(tmp_path / "small", megabytes=1)) as small:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "journal").symlink_to(small.folder)
        small.fill()
        (found,) = to_fix(project, database, connect=False)
        assert f"{tmp_path / 'state' / 'journal'} cannot be written: No space left on device" in found


def test_a_state_folder_that_cannot_be_written(
    project: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKS_STATE_DIR", "/proc/nowhere")
    (found,) = to_fix(project, database)
    assert "TICKS_STATE_DIR" in found


def test_files_of_sql_that_replace_something_and_others(project: Path, database: Database) -> None:
    for name in ("candles/one_minute_candle.sql", "candles/one_week_candle.sql", "schema/feed.sql"):
        (project / "sql" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "sql" / name).write_text("SELECT 1", encoding="utf-8")
    found = list(diagnosis.examine(project, database, connect=False, ui_port=0))
    notes = [each.text for each in found if each.subject == "override" and each.level is Level.NOTE]
    wrong = [each.text for each in found if each.subject == "override" and each.level is Level.FIX]
    assert ["one_minute_candle" in text for text in notes] == [True]
    assert len(wrong) == 2


def test_a_wrong_setting(project: Path, database: Database) -> None:
    (project / "feeds.yaml").write_text("feeds: {stocks: {provider: twelvedata, symbols: [AAPL]}}", encoding="utf-8")
    (found,) = to_fix(project, database)
    assert found.startswith("feeds.yaml: ")


def test_a_port_that_is_taken_is_told(project: Path, database: Database) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        found = list(diagnosis.examine(project, database, connect=False, ui_port=port))
    assert any(each.subject == "port" and str(port) in each.text and each.level is Level.NOTE for each in found)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("", "shared_preload_libraries|has no TimescaleDB"),
        ("shared_preload_libraries = 'timescaledb'\ntimescaledb.license = 'apache'", "Apache edition"),
    ],
    ids=["not loaded", "apache"],
)
def test_a_server_without_what_is_needed(
    project: Path, server: Callable[[str], Database], settings: str, words: str
) -> None:
    found = to_fix(project, server(settings))
    assert any(word in text for text in found for word in words.split("|")), found
