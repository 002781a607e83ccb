"""Journals are exported and replayed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import __main__ as command
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal.journal import Journal, JournalError
from ticks_platform.ingestion.replay import FeedInUseError, export, replay
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, damage_group, price, rows, wreck_middle_page


def append(journal: Journal, *frames: bytes) -> None:
    journal.append([Frame(data, time.time_ns(), 1) for data in frames], epoch=1)


def test_an_exported_journal_is_loaded_once_even_if_replayed_twice(
    database: Database, feed: FeedSettings, journal: Journal, tmp_path: Path
) -> None:
    append(journal, price(), price(price=7.5), b"garbage")
    exported = tmp_path / "exported.sqlite3"
    assert export(journal.path, exported) == 3
    append(journal, price())
    content = exported.read_bytes()
    first, second = (replay(exported, feed=feed, database=database) for _ in range(2))
    assert (first.loaded, first.rejected, second.loaded) == (2, 1, 0)
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(2, 2)]
    assert exported.read_bytes() == content


def test_the_feed_continues_after_a_replay_of_its_journal(
    database: Database,
    feed: FeedSettings,
    journal: Journal,
    tmp_path: Path,
    take_lease: TakeLease,
    make_loader: LoaderOf,
) -> None:
    append(journal, price(), price())
    export(journal.path, tmp_path / "exported.sqlite3")
    replay(tmp_path / "exported.sqlite3", feed=feed, database=database)
    make_loader(take_lease("live"), [price()]).run()
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(3, 3)]


def test_a_replay_as_another_feed(database: Database, feed: FeedSettings, journal: Journal, tmp_path: Path) -> None:
    append(journal, price())
    exported = tmp_path / "exported.sqlite3"
    export(journal.path, exported)
    other = feed.model_copy(update={"name": "other"})
    for settings in (feed, other, other):
        replay(exported, feed=settings, database=database)
    assert rows(database, "SELECT feed, count(*) FROM stocks_real_time GROUP BY feed ORDER BY feed") == [
        ("other", 1),
        ("test", 1),
    ]


@pytest.mark.parametrize(
    ("told", "covered"),
    [
        pytest.param(None, 20, id="a journal of an older release: until its first frame arrived"),
        pytest.param(15, 15, id="what was sent until then had arrived"),
        pytest.param(0, 10, id="nobody knows: as before"),
    ],
)
def test_frames_of_a_killed_run_cover_until_what_they_prove(
    database: Database,
    feed: FeedSettings,
    journal: Journal,
    take_lease: TakeLease,
    told: int | None,
    covered: int,
) -> None:
    """In seconds: its coverage ended at 10, and two frames arrived at 20 and 30."""
    lease = take_lease("killed")
    begin = time.time_ns() // 10**9 - 60

    def at(seconds: int) -> int:
        return (begin + seconds) * 10**9

    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, connection) "
            "VALUES ('test', 'AAPL', to_timestamp(%s), to_timestamp(%s), 'killed', %s, 1)",
            (begin, begin + 10, lease.epoch),
        )
        leases.release(cursor, lease)
    until = at(told) if told else told
    journal.append([Frame(price(), at(20), 1, covered_until=until), Frame(price(), at(30), 1)], epoch=lease.epoch)
    assert replay(journal.path, feed=feed, database=database).loaded == 2
    ends = "SELECT extract(epoch FROM ends_at)::bigint - {} FROM ticks_platform.feed_coverage WHERE ended_by = 'killed'"
    assert rows(database, ends.format(begin)) == [(covered,)]
    last = rows(database, "SELECT extract(epoch FROM last_data_at)::bigint FROM ticks_platform.feed_ledger")
    assert last == [(None if told == 0 else begin + covered,)]


def test_an_export_does_not_overwrite_files(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(JournalError, match="does not overwrite files"):
        export(journal.path, tmp_path / "precious")
    with pytest.raises(JournalError, match="no journal"):
        export(tmp_path / "nowhere", tmp_path / "new")


def test_a_file_that_is_no_journal_is_rejected(database: Database, feed: FeedSettings, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is not a SQLite file, and it is long enough to be looked at as one" * 9)
    with pytest.raises(JournalError, match="cannot be read"):
        replay(tmp_path / "text", feed=feed, database=database)


def test_the_command(
    database: Database,
    database_url: str,
    tmp_path: Path,
    repository_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "sql").symlink_to(repository_root / "sql")
    (tmp_path / "feeds.yaml").write_text(
        "feeds: {test: {provider: twelve_data, endpoint: stand-in, symbols: [AAPL]}}", encoding="utf-8"
    )
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TICKS_DATABASE_URL", database_url)
    journal = Journal(tmp_path / "state" / "journal" / "test.sqlite3", feed="test", synthetic=True)
    append(journal, price(), b"garbage")
    journal.close()
    exported = str(tmp_path / "exported.sqlite3")
    assert command.main(["export", "test", exported]) == 0
    assert command.main(["replay", exported]) == 0
    assert "2 frames; 1 ticks loaded, 1 events rejected" in capsys.readouterr().out
    assert command.main(["replay", str(tmp_path / "nothing")]) == 1
    assert "no journal" in capsys.readouterr().err
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(1,)]


def test_synthetic_frames_are_not_replayed_as_live_frames(
    database: Database, feed: FeedSettings, journal: Journal, tmp_path: Path
) -> None:
    append(journal, price())
    exported = tmp_path / "exported.sqlite3"
    export(journal.path, exported)
    live = feed.model_copy(update={"endpoint": "wss://ws.twelvedata.com/v1/quotes/price"})
    with pytest.raises(JournalError, match="the stand-in's"):
        replay(exported, feed=live, database=database)
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(0,)]


def test_a_replay_goes_on_while_coverage_cannot_be_read(
    database: Database, feed: FeedSettings, journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    append(journal, price(), price("MSFT"))
    exported = tmp_path / "exported.sqlite3"
    export(journal.path, exported)
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE ticks_platform.feed_coverage RENAME TO elsewhere")
    try:
        done = replay(exported, feed=feed, database=database)
    finally:
        with database.transaction() as cursor:
            cursor.execute("ALTER TABLE ticks_platform.elsewhere RENAME TO feed_coverage")
    assert (done.loaded, done.rejected) == (1, 1)
    assert "not all symbols" in caplog.text
    assert "ticks reload-rejected test" in caplog.text


def test_a_replay_does_not_take_a_feed_from_its_owner(
    database: Database, feed: FeedSettings, journal: Journal, tmp_path: Path, take_lease: TakeLease
) -> None:
    append(journal, price())
    exported = tmp_path / "exported.sqlite3"
    export(journal.path, exported)
    take_lease("live")
    with pytest.raises(FeedInUseError, match="disable_feed"):
        replay(exported, feed=feed, database=database)
    assert rows(database, "SELECT owner, epoch FROM ticks_platform.feed_lease") == [("live", 1)]
    replay(exported, feed=feed.model_copy(update={"name": "other"}), database=database)
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_lease SET heartbeat_at = heartbeat_at - INTERVAL '1 minute'")
    assert replay(exported, feed=feed, database=database).loaded == 1, "a dead owner does not block a replay"


def test_special_characters_in_paths(database: Database, feed: FeedSettings, journal: Journal, tmp_path: Path) -> None:
    append(journal, price())
    exported = tmp_path / "what? 50% #1.sqlite3"
    assert export(journal.path, exported) == 1
    assert replay(exported, feed=feed, database=database).loaded == 1


def test_readable_frames_of_a_damaged_journal_are_loaded(
    database: Database, feed: FeedSettings, journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(200):
        append(journal, price(price=float(number + 1), padding="x" * 200))
    journal.close()
    positions = damage_group(journal.path, 3)
    wreck_middle_page(journal.path)
    metrics = replay(journal.path, feed=feed, database=database)
    assert f"skipping the frames at {positions[3]}" in caplog.text
    assert "cannot be found" in caplog.text
    assert 150 <= metrics.loaded < 199
    stored = rows(database, "SELECT min(price), max(price), count(DISTINCT price) FROM stocks_real_time")
    assert stored == [(1.0, 200.0, metrics.loaded)]
    assert replay(journal.path, feed=feed, database=database).loaded == 0, "it can be repeated"
