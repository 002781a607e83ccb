"""The journal: order, positions, bounds; what it survives, and what it refuses."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion import journal as journals
from ticks_platform.ingestion.journal import (
    FrameGroup,
    Journal,
    JournalError,
    JournalFencedError,
    JournalUnavailableError,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "test.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path, feed="test")
    yield opened
    opened.close()


def frames(*data: bytes, connection: int = 1) -> list[Frame]:
    return [Frame(item, 1_000 + number, connection) for number, item in enumerate(data)]


def take(journal: Journal, max_bytes: int = 1 << 30) -> list[FrameGroup]:
    return journal.take(max_bytes=max_bytes, linger=0, wait=0)


def test_frames_come_back_in_order_at_their_positions(journal: Journal) -> None:
    journal.append(frames(b"abc", b"", b"de"), epoch=4)
    journal.append(frames(b"\x00\xff", connection=2), epoch=5)
    first, second = take(journal)
    assert (first.epoch, first.connection, first.frames) == (4, 1, [b"abc", b"", b"de"])
    assert first.received_at == [1_000, 1_001, 1_002]
    assert first.positions().tolist() == [0, 3, 4], "an empty frame has a position of its own"
    assert (second.position, second.end, second.frames) == (6, 8, [b"\x00\xff"])
    assert take(journal) == []


def test_take_stops_at_the_size_asked_for_but_gives_one_group_at_least(journal: Journal) -> None:
    for _ in range(4):
        journal.append(frames(b"x" * 100), epoch=1)
    assert [len(take(journal, max_bytes=150)), len(take(journal, max_bytes=1)), len(take(journal))] == [2, 1, 1]


def test_what_is_not_trimmed_is_there_after_reopening(path: Path, journal: Journal) -> None:
    for number in range(3):
        journal.append(frames(b"%d" % number), epoch=1)
    take(journal)
    journal.trim(1)
    again = Journal(path, feed="test")
    again.seek(1, frames=1)
    assert [group.frames for group in take(again)] == [[b"1"], [b"2"]]
    assert again.journal_id == journal.journal_id
    again.append(frames(b"3"), epoch=2)
    assert [group.position for group in take(again)] == [3]
    again.close()


def test_positions_go_on_after_everything_was_trimmed(path: Path, journal: Journal) -> None:
    journal.append(frames(b"abc"), epoch=1)
    take(journal)
    journal.trim(3)
    assert journal.bytes_waiting == 0
    again = Journal(path, feed="test")
    again.seek(3, frames=1)
    assert take(again) == []
    again.append(frames(b"d"), epoch=1)
    assert [group.position for group in take(again)] == [3]
    again.close()


def test_an_empty_journal_begins_where_the_checkpoint_stands(journal: Journal) -> None:
    assert journal.start is None
    journal.seek(5_000, frames=0)
    journal.append(frames(b"a"), epoch=1)
    assert [group.position for group in take(journal)] == [5_000]


def test_a_journal_that_lost_its_end_goes_on_where_the_database_is(path: Path, journal: Journal) -> None:
    """As after a power cut that came after the commit and before the sync, or with a journal restored from a copy."""
    journal.append(frames(b"abc", b"de"), epoch=1)
    again = Journal(path, feed="test")
    again.seek(500, frames=40)
    assert take(again) == []
    assert again.bytes_waiting == 0
    again.append(frames(b"new"), epoch=2)
    assert [(group.position, group.frames) for group in take(again)] == [(500, [b"new"])]
    again.close()
    with journals.snapshot(path) as seen:
        assert (seen.end, seen.frames_appended, seen.beyond(500)) == (503, 41, (1, 3))


def test_an_old_owner_cannot_append_any_more(path: Path, journal: Journal) -> None:
    journal.append(frames(b"old"), epoch=1)
    new = Journal(path, feed="test")
    with pytest.raises(JournalFencedError, match="another process"):
        journal.append(frames(b"late"), epoch=1)
    new.append(frames(b"new"), epoch=2)
    assert [group.frames for group in take(new)] == [[b"old"], [b"new"]]
    new.close()


def test_a_full_journal_stops_the_reader_until_there_is_room(path: Path) -> None:
    journal = Journal(path, feed="test", max_bytes=10)
    journal.append(frames(b"0123456789"), epoch=1)
    assert journal.full
    through = threading.Event()
    reader = threading.Thread(target=lambda: (journal.append(frames(b"next"), epoch=1), through.set()))
    reader.start()
    assert not through.wait(0.1)
    take(journal)
    journal.trim(10)
    assert through.wait(5)
    reader.join()
    assert [group.frames for group in take(journal)] == [[b"next"]]
    journal.close()


def test_what_was_read_is_kept_when_a_full_journal_closes(path: Path) -> None:
    journal = Journal(path, feed="test", max_bytes=1)
    journal.append(frames(b"a"), epoch=1)
    reader = threading.Thread(target=lambda: journal.append(frames(b"b"), epoch=1))
    reader.start()
    journal.take_all()
    reader.join(5)
    journal.stop_appending()
    assert not reader.is_alive()
    assert not journal.drained
    assert [group.frames for group in take(journal)] == [[b"a"], [b"b"]]
    assert journal.drained
    journal.close()


def test_every_appended_frame_survives_kill_9(path: Path) -> None:
    program = """
import sys
from pathlib import Path
from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion.journal import Journal
journal = Journal(Path(sys.argv[1]), feed="test")
number = 0
while True:
    journal.append([Frame(b"%d" % (number + i), 1, 1) for i in range(3)], epoch=1)
    number += 3
    print(number, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    acknowledged = 0
    while acknowledged < 3_000:
        acknowledged = int(process.stdout.readline())
    process.kill()
    acknowledged = max([acknowledged, *(int(line) for line in process.stdout.read().split(b"\n")[:-1])])
    process.wait()
    journal = Journal(path, feed="test")
    found = [int(frame) for group in take(journal) for frame in group.frames]
    journal.close()
    assert found[:acknowledged] == list(range(acknowledged))
    assert found == list(range(len(found)))
    assert len(found) % 3 == 0, "a group is there whole or not at all"


@pytest.mark.parametrize("damage", [slice(0, 16), slice(0, 4096)])
def test_a_damaged_journal_is_set_aside_and_a_new_one_begun(
    path: Path, damage: slice, caplog: pytest.LogCaptureFixture
) -> None:
    first = Journal(path, feed="test")
    first.append(frames(b"precious"), epoch=1)
    first.close()
    content = bytearray(path.read_bytes())
    content[damage] = b"\xa5" * len(content[damage])
    path.write_bytes(content)
    journal = Journal(path, feed="test")
    assert take(journal) == []
    assert journal.journal_id != first.journal_id
    journal.close()
    (aside,) = path.parent.glob("test.damaged-*.sqlite3")
    assert aside.read_bytes() == bytes(content), "nothing of it was overwritten"
    assert "set aside" in caplog.text


def test_a_journal_that_is_locked_is_not_taken_for_damaged(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(frames(b"precious"), epoch=1)
    connect = journals._connect

    def connect_impatiently(to: Path) -> sqlite3.Connection:
        connection = connect(to)
        connection.execute("PRAGMA busy_timeout = 50")
        return connection

    monkeypatch.setattr(journals, "_connect", connect_impatiently)
    # As the owner would, that was frozen or lost its disk in the middle of writing.
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailableError, match="locked"):
            Journal(path, feed="test")
    again = Journal(path, feed="test")
    assert [group.frames for group in take(again)] == [[b"precious"]]
    assert again.journal_id == journal.journal_id
    again.close()


def test_another_feeds_journal_is_refused(path: Path, journal: Journal) -> None:
    with pytest.raises(JournalError, match="journal of feed 'test', not of 'other'"):
        Journal(path, feed="other")
    journal.append(frames(b"still mine"), epoch=1)


def test_a_newer_layout_is_refused(path: Path) -> None:
    Journal(path, feed="test").close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="newer version"):
        Journal(path, feed="test")


def test_another_programs_file_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE somebodys (treasure)")
    connection.close()
    with pytest.raises(JournalError, match="another program"):
        Journal(path, feed="test")


def test_it_is_seen_from_outside_as_of_one_moment(path: Path, journal: Journal) -> None:
    journal.append(frames(b"abc", b"de"), epoch=1)
    journal.append(frames(b"f"), epoch=1)
    with journals.snapshot(path) as snapshot:
        take(journal)
        journal.append(frames(b"g"), epoch=1)
        journal.trim(6)
        assert (snapshot.journal_id, snapshot.end, snapshot.frames_appended) == (journal.journal_id, 6, 3)
        assert snapshot.beyond(5) == (1, 1)
        assert snapshot.beyond(0) == (3, 6)
    with journals.snapshot(path) as later:
        assert (later.end, later.frames_appended, later.beyond(6)) == (7, 4, (1, 1))
