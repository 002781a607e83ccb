"""`ticks status`, `ticks export` and `ticks replay`, `ticks database`."""

from __future__ import annotations

import fcntl
import json
import re
import socket
from contextlib import closing
from pathlib import Path

import pytest

from ticks_platform.alerts import delivery
from ticks_platform.alerts.delivery import Delivery
from ticks_platform.paths import dev_lock_path
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.cli.conftest import Ticks

FRESH = -3600
"""Seconds since a heartbeat that stays fresh however slow the machine is."""


def test_status_before_there_are_tables(ticks: Ticks, demo: Path, empty_database: Database) -> None:
    done = ticks("status", cwd=demo)
    assert done.returncode == 1
    assert "no tables yet: `ticks dev` or `ticks ingest` create them" in done.stderr
    dev_lock_path().parent.mkdir(parents=True, exist_ok=True)
    with dev_lock_path().open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("process 7, http://127.0.0.1:3000")
        file.flush()
        done = ticks("status", cwd=demo)
    assert done.returncode == 1
    assert "no tables yet: `ticks dev`, which runs as process 7, http://127.0.0.1:3000, creates them" in done.stderr


@pytest.mark.parametrize(
    "change",
    ["feed_session RENAME COLUMN state TO of_another_release", "feed_gap RENAME COLUMN state TO of_another_release"],
)
def test_status_of_a_database_of_another_release_says_what_to_do(
    ticks: Ticks, demo: Path, empty_database: Database, change: str
) -> None:
    with empty_database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.HYPERTABLE)
    with empty_database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.MACHINERY)
        cursor.execute(f"ALTER TABLE ticks_platform.{change}")
    done = ticks("status", cwd=demo)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "does not exist: its tables are of another release than this program" in done.stderr
    assert "bring_up" in done.stderr


def test_status_of_a_feed_that_nobody_ingests(ticks: Ticks, demo: Path, database: Database) -> None:
    done = ticks("status", "--json", cwd=demo)
    assert done.returncode == 1
    (feed,) = json.loads(done.stdout)["feeds"]
    assert (feed["feed"], feed["enabled"], feed["ingesting"], feed["is_well"]) == ("stand_in", True, False, False)
    assert "stand_in: not started yet" in ticks("status", cwd=demo).stdout


@pytest.mark.parametrize(
    ("age", "released", "state", "words"),
    [
        (FRESH, False, "streaming", "streaming (run a-run)"),
        (
            8,
            False,
            "streaming",
            "no sign of its run: run a-run was last heard of N s ago; `ticks dev` starts another one",
        ),
        (FRESH, True, "streaming", "not ingested: run a-run has ended"),
        (FRESH, False, "backing off", "backing off: no route"),
    ],
)
def test_status_of_a_run_is_what_the_live_page_says(
    ticks: Ticks, demo: Path, database: Database, age: int, released: bool, state: str, words: str
) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('stand_in', 'twelve_data', true);"
            "INSERT INTO ticks_platform.feed_lease (feed, epoch, owner, taken_at, heartbeat_at, released_at) VALUES "
            "('stand_in', 1, 'a-run', now(), now() - make_interval(secs => %s), CASE WHEN %s THEN now() END);"
            "INSERT INTO ticks_platform.feed_session VALUES ('stand_in', 1, 0, now(), %s, 'no route')",
            (age, released, state),
        )
    said = ticks("status", cwd=demo).stdout
    assert words in re.sub(r"\d+ s ago", "N s ago", said)


def test_feeds_that_go_on_are_shown_where_their_settings_cannot_be_read(
    ticks: Ticks, demo: Path, database: Database
) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('stand_in', 'twelve_data', true);"
            "INSERT INTO ticks_platform.feed_lease (feed, epoch, owner, taken_at, heartbeat_at) "
            "VALUES ('stand_in', 1, 'a-run', now(), now());"
            "INSERT INTO ticks_platform.feed_session VALUES ('stand_in', 1, 0, now(), 'streaming', '')"
        )
    feeds = demo / "feeds.yaml"
    feeds.write_text(feeds.read_text(encoding="utf-8").replace("symbols:", "simbols:", 1), encoding="utf-8")
    done = ticks("status", cwd=demo)
    assert "did you mean 'symbols'" in done.stderr
    assert "stand_in: streaming (run a-run)" in done.stdout
    assert done.returncode == 0, "a feed that is ingested is well, and a health check restarts those that are not"


def test_status_says_that_alerts_are_not_delivered(ticks: Ticks, demo: Path, database: Database) -> None:
    delivery.write(Delivery("alert_troubles", 3, "cannot post to the webhook in TICKS_ALERT_WEBHOOK: HTTP 503"))
    done = ticks("status", cwd=demo)
    assert "alerts are not delivered" in done.stderr
    assert "HTTP 503; 3 messages wait" in done.stderr


def test_a_command_outside_of_a_project_says_so(ticks: Ticks, tmp_path: Path, database: Database) -> None:
    done = ticks("status", TICKS_PROJECT_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "feeds.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_was_typed_is_repeated_without_its_password(ticks: Ticks, demo: Path, database: Database) -> None:
    done = ticks("replay", "postgresql://user:s3cr3t-word@host/name", cwd=demo, SOME_PASSWORD="s3cr3t-word")
    assert done.returncode == 2
    assert "user:***@host" in done.stderr
    assert "s3cr3t-word" not in done.stderr


def test_export_of_nothing_and_replay_of_what_is_no_journal(ticks: Ticks, demo: Path, database: Database) -> None:
    exported = ticks("export", "stand_in", "out.sqlite3", cwd=demo)
    assert exported.returncode == 1
    assert "journal" in exported.stderr
    (demo / "no_journal.sqlite3").write_bytes(b"no journal")
    replayed = ticks("replay", "no_journal.sqlite3", cwd=demo)
    assert replayed.returncode == 1
    assert "Traceback" not in replayed.stderr


def test_the_env_file_of_the_project_is_read_and_the_environment_comes_first(
    ticks: Ticks, demo: Path, database: Database, tmp_path: Path
) -> None:
    (demo / ".env").write_text(
        f"# ours\n\nexport TICKS_ALERT_WEBHOK='x y'\nTICKS_STATE_DIR={demo}/other\n", encoding="utf-8"
    )
    said = ticks("doctor", "--offline", "--port", "0", cwd=demo).stdout
    assert "TICKS_ALERT_WEBHOK is set, and nothing reads it; did you mean 'TICKS_ALERT_WEBHOOK'?" in said
    assert str(tmp_path / "state") in said
    assert not (demo / "other").exists()


@pytest.mark.parametrize("line", ["TICKS_DATABASE_URL postgresql://user:s3cr3t@host/name", "KEY='s3cr3t", "KEY"])
def test_a_line_of_the_env_file_that_is_none_is_an_error(
    ticks: Ticks, demo: Path, database: Database, line: str
) -> None:
    (demo / ".env").write_text(f"A=1\n{line}\n", encoding="utf-8")
    done = ticks("status", cwd=demo)
    assert done.returncode == 1
    assert ".env, line 2" in done.stderr
    assert "s3cr3t" not in done.stderr


def test_the_embedded_database_is_not_the_one_of_the_project(ticks: Ticks, demo: Path, database: Database) -> None:
    done = ticks("database", "url", cwd=demo)
    assert (done.returncode, done.stdout) == (1, "")
    assert "TICKS_DATABASE_URL" in done.stderr


@pytest.mark.parametrize("command", [["doctor"], ["ingest", "x"], ["database", "url"], ["dev"], ["export", "x", "y"]])
def test_no_command_leaves_anything_outside_of_a_project(
    ticks: Ticks, tmp_path: Path, database: Database, command: list[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = ticks(*command, TICKS_PROJECT_DIR=str(empty))
    assert done.returncode == 1
    assert "ticks init" in done.stderr
    assert list(empty.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_a_message(ticks: Ticks, demo: Path, database: Database) -> None:
    done = ticks("dev", "--port", "0", cwd=demo, TICKS_STATE_DIR="/proc/nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("ticks: /proc/nowhere")


def test_dev_refuses_a_port_that_is_taken_and_settings_that_are_wrong(
    ticks: Ticks, demo: Path, database: Database
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = ticks("dev", "--port", str(port), cwd=demo)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    (demo / "feeds.yaml").write_text("feeds: {stocks: {provider: twelve_data, simbols: [AAPL]}}", encoding="utf-8")
    done = ticks("dev", "--port", "0", cwd=demo)
    assert done.returncode == 1
    assert "simbols" in done.stderr
