"""The journal: order, positions, size limit; crashes, damage, full disks; files it rejects."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal import recent_frames
from ticks_platform.ingestion.journal.journal import (
    FrameGroup,
    Journal,
    JournalDamagedError,
    JournalError,
    JournalFencedError,
    JournalUnavailableError,
)
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform_tests.support.ingestion import damage_group, wreck_middle_page


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


def test_frames_are_taken_in_order_at_their_positions(journal: Journal) -> None:
    journal.append(frames(b"abc", b"", b"de"), epoch=4)
    journal.append(frames(b"\x00\xff", connection=2), epoch=5)
    first, second = take(journal)
    assert (first.epoch, first.connection, first.frames) == (4, 1, [b"abc", b"", b"de"])
    assert first.received_at == [1_000, 1_001, 1_002]
    assert first.positions().tolist() == [0, 3, 4], "an empty frame has a position of its own"
    assert (second.position, second.end, second.frames) == (6, 8, [b"\x00\xff"])
    assert take(journal) == []


def test_frames_that_come_again_on_their_connection_are_noted(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_frames, "CAPACITY", 4)
    journal.append(frames(b"a", b"b", b"a"), epoch=1)
    journal.append(frames(b"c", b"b", b"c"), epoch=1)
    journal.append(frames(b"a", b"b", connection=2), epoch=1)
    journal.append(frames(b"a"), epoch=2)
    again = Journal(path, feed="test")
    assert [list(group.again) for group in take(again)] == [[2], [1, 2], [], []]
    again.close()


def test_what_was_not_appended_does_not_come_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Journal(path, feed="test")) as journal:
        with monkeypatch.context() as failing:
            failing.setattr(journal._sync, "failure", OSError("no"))
            with pytest.raises(JournalUnavailableError):
                journal.append(frames(b"a"), epoch=1)
        journal._writer.execute("PRAGMA busy_timeout = 0")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalUnavailableError, match="locked"):
                journal.append(frames(b"a"), epoch=1)
        journal.append(frames(b"a"), epoch=1)
        assert [list(group.again) for group in take(journal)] == [[]]


class _Before(msgspec.Struct, array_like=True):
    """A group of frames as releases know it that note no repeats."""

    epoch: int
    connection: int
    received_at: list[int]
    frames: list[bytes]
    stepped: int | None = None
    correction: int = 0
    covered_until: int | None = None


def test_releases_that_note_no_repeats_read_what_is_written_and_the_other_way_round() -> None:
    new = journal_file.Contents(1, 2, [3, 4], [b"a", b"a"], 5, 6, 7, [1])
    old = _Before(1, 2, [3, 4], [b"a", b"a"], 5, 6, 7)
    assert msgspec.msgpack.decode(journal_file.encode(new), type=_Before) == old
    read = journal_file.decode(msgspec.msgpack.encode(old), position=0, end=2)
    assert msgspec.structs.replace(new, again=[]) == read


def test_take_stops_at_max_bytes_but_returns_at_least_one_group(journal: Journal) -> None:
    for _ in range(4):
        journal.append(frames(b"x" * 100), epoch=1)
    assert [len(take(journal, max_bytes=150)), len(take(journal, max_bytes=1)), len(take(journal))] == [2, 1, 1]


def test_untrimmed_frames_are_there_after_reopening(path: Path, journal: Journal) -> None:
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


def test_positions_continue_after_everything_was_trimmed(path: Path, journal: Journal) -> None:
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


def test_an_empty_journal_begins_at_the_checkpoint(journal: Journal) -> None:
    assert journal.start is None
    journal.seek(5_000, frames=0)
    journal.append(frames(b"a"), epoch=1)
    assert [group.position for group in take(journal)] == [5_000]


def test_a_journal_that_lost_its_end_continues_at_the_checkpoint(path: Path, journal: Journal) -> None:
    """As after a power loss between commit and sync, or with a journal restored from a copy."""
    journal.append(frames(b"abc", b"de"), epoch=1)
    again = Journal(path, feed="test")
    again.seek(500, frames=40)
    assert take(again) == []
    assert again.bytes_waiting == 0
    again.append(frames(b"new"), epoch=2)
    assert [(group.position, group.frames) for group in take(again)] == [(500, [b"new"])]
    again.close()
    with journal_view(path) as seen:
        assert (seen.end, seen.frames_appended, seen.waiting_after(500)) == (503, 41, (1, 3))


def test_an_old_owner_can_no_longer_append(path: Path, journal: Journal) -> None:
    journal.append(frames(b"old"), epoch=1)
    new = Journal(path, feed="test")
    with pytest.raises(JournalFencedError, match="another process"):
        journal.append(frames(b"late"), epoch=1)
    new.append(frames(b"new"), epoch=2)
    assert [group.frames for group in take(new)] == [[b"old"], [b"new"]]
    new.close()


def test_a_full_journal_blocks_the_reader_until_there_is_space(path: Path) -> None:
    journal = Journal(path, feed="test", max_bytes=10)
    journal.append(frames(b"0123456789"), epoch=1)
    assert journal.full
    through = threading.Event()
    reader = threading.Thread(target=lambda: (journal.append(frames(b"next"), epoch=1), through.set()))
    reader.start()
    assert not through.wait(0.1)
    take(journal)
    journal.trim(10)
    assert through.wait(60)
    reader.join()
    assert [group.frames for group in take(journal)] == [[b"next"]]
    journal.close()


def test_frames_that_were_read_are_appended_when_a_full_journal_closes(path: Path) -> None:
    journal = Journal(path, feed="test", max_bytes=1)
    journal.append(frames(b"a"), epoch=1)
    reader = threading.Thread(target=lambda: journal.append(frames(b"b"), epoch=1))
    reader.start()
    journal.begin_stop()
    reader.join(60)
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
from ticks_platform.ingestion.journal.journal import Journal
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
    assert len(found) % 3 == 0, "a group is stored whole or not at all"


@pytest.mark.parametrize("damage", [slice(0, 16), slice(0, 4096)])
def test_a_damaged_journal_is_set_aside_and_a_new_one_created(
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
    connect = journal_file.connect

    def connect_impatiently(to: Path) -> sqlite3.Connection:
        connection = connect(to)
        connection.execute("PRAGMA busy_timeout = 50")
        return connection

    monkeypatch.setattr(journal_file, "connect", connect_impatiently)
    # As by an owner that was frozen, or lost its disk, while writing.
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailableError, match="locked"):
            Journal(path, feed="test")
    again = Journal(path, feed="test")
    assert [group.frames for group in take(again)] == [[b"precious"]]
    assert again.journal_id == journal.journal_id
    again.close()


def test_another_feeds_journal_is_rejected(path: Path, journal: Journal) -> None:
    with pytest.raises(JournalError, match="journal of feed 'test', not of 'other'"):
        Journal(path, feed="other")
    journal.append(frames(b"still mine"), epoch=1)


def test_a_newer_layout_is_rejected(path: Path) -> None:
    Journal(path, feed="test").close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="newer version"):
        Journal(path, feed="test")


def test_another_programs_file_is_rejected(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE somebodys (treasure)")
    connection.close()
    with pytest.raises(JournalError, match="another program"):
        Journal(path, feed="test")


def test_a_view_shows_one_moment(path: Path, journal: Journal) -> None:
    journal.append(frames(b"abc", b"de"), epoch=1)
    journal.append(frames(b"f"), epoch=1)
    with journal_view(path) as seen:
        take(journal)
        journal.append(frames(b"g"), epoch=1)
        journal.trim(6)
        assert (seen.journal_id, seen.end, seen.frames_appended) == (journal.journal_id, 6, 3)
        assert seen.waiting_after(5) == (1, 1)
        assert seen.waiting_after(0) == (3, 6)
    with journal_view(path) as later:
        assert (later.end, later.frames_appended, later.waiting_after(6)) == (7, 4, (1, 1))


@pytest.mark.parametrize("name", ["a b", "50%", "what?", "#1", "%41", "tick#?%20 x"])
def test_any_path_works(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / f"{name}.sqlite3"
    journal = Journal(path, feed="test")
    journal.append(frames(b"abc"), epoch=1)
    with journal_view(path) as seen:
        assert seen.journal_id == journal.journal_id
        assert seen.waiting_after(0) == (1, 3)
    journal.close()


def test_an_undecodable_group_sets_the_journal_aside_after_the_groups_before_it_are_read(
    path: Path, journal: Journal
) -> None:
    for number in range(4):
        journal.append(frames(b"%d" % number), epoch=1)
    damage_group(path, 2)
    assert [group.frames for group in take(journal)] == [[b"0"], [b"1"]]
    with pytest.raises(JournalDamagedError, match="set aside") as damaged:
        take(journal)
    (aside,) = path.parent.glob("test.damaged-*.sqlite3")
    assert not path.exists()
    assert str(aside) in str(damaged.value)
    assert f"replay {aside}" in str(damaged.value)
    with pytest.raises(JournalDamagedError):
        take(journal)
    journal.append(frames(b"late"), epoch=1)
    again = Journal(path, feed="test")
    assert again.journal_id != journal.journal_id
    again.append(frames(b"new"), epoch=2)
    journal.close()
    assert [group.frames for group in take(again)] == [[b"new"]], "closing the old one does not touch it"
    again.close()
    with journal_view(aside) as seen:
        assert (seen.journal_id, seen.frames_appended) == (journal.journal_id, 5), "late frames are in the old one"


@pytest.mark.parametrize("use", ["take", "trim", "seek"])
def test_a_page_that_is_damaged_while_in_use_sets_the_journal_aside(path: Path, journal: Journal, use: str) -> None:
    for _ in range(200):
        journal.append(frames(b"x" * 300), epoch=1)
    journal.close()
    uses: dict[str, Callable[[Journal], object]] = {
        "take": lambda journal: take(journal) and take(journal),
        "trim": lambda journal: journal.trim(200 * 300),
        "seek": lambda journal: journal.seek(100 * 300, frames=100),
    }
    with contextlib.closing(Journal(path, feed="test")) as journal:
        wreck_middle_page(path)
        with pytest.raises(JournalDamagedError, match="replay"):
            uses[use](journal)
    assert len(list(path.parent.glob("test.damaged-*.sqlite3"))) == 1


@pytest.mark.parametrize("other", ["opened it", "set it aside and created a new one"])
def test_an_old_owner_does_not_set_a_damaged_journal_aside(path: Path, journal: Journal, other: str) -> None:
    journal.append(frames(b"0"), epoch=1)
    damage_group(path, 0)
    new = Journal(path, feed="test")
    if other != "opened it":
        with pytest.raises(JournalDamagedError):
            take(new)
        new.close()
        new = Journal(path, feed="test")
    before = sorted(path.parent.glob("test.*sqlite3"))
    with pytest.raises(JournalFencedError):
        take(journal)
    assert sorted(path.parent.glob("test.*sqlite3")) == before
    new.append(frames(b"mine"), epoch=2)
    new.close()


def test_an_append_that_a_full_disk_fails_can_be_repeated(path: Path) -> None:
    """RLIMIT_FSIZE of a separate process stands for the disk: writes beyond it fail as I/O errors."""
    program = """
import resource, sys
from pathlib import Path
from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion.journal.journal import Journal, JournalUnavailableError
journal = Journal(Path(sys.argv[1]), feed="test")
taken = 0
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
try:
    while True:
        journal.append([Frame(b"%d" % taken + b"x" * 20_000, 1, 1)], epoch=1)
        taken += 1
except JournalUnavailableError as error:
    assert "disk" in str(error), error
assert len(journal.take(max_bytes=1 << 30, linger=0, wait=0)) == taken
for _ in range(3):
    journal.trim(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
for number in range(taken, taken + 20):
    journal.append([Frame(b"%d" % number + b"x" * 20_000, 1, 1)], epoch=1)
print(taken, flush=True)
"""
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    taken = int(result.stdout)
    assert taken > 3
    assert result.stderr.count("cannot be trimmed now") == 1, "a line for each batch would fill the log's disk too"
    with contextlib.closing(Journal(path, feed="test")) as journal:
        journal.seek(1, frames=0)
        found = [int(frame.rstrip(b"x")) for group in take(journal) for frame in group.frames]
    assert found == list(range(1, taken + 20)), "the first one was trimmed"


def test_appending_stops_while_syncs_fail(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal.append(frames(b"before" * 1_000), epoch=1)
    failing = threading.Event()
    failing.set()
    fdatasync = os.fdatasync

    def fails(descriptor: int) -> None:
        if failing.is_set():
            raise OSError(5, "Input/output error")
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", fails)
    for _ in eventually("a failed sync"):
        if journal._sync.failure is not None:
            break
    with pytest.raises(JournalUnavailableError, match="Input/output error"):
        journal.append(frames(b"not taken"), epoch=1)
    failing.clear()
    for _ in eventually("an append that succeeds"):
        with contextlib.suppress(JournalUnavailableError):
            journal.append(frames(b"after"), epoch=1)
            break
    assert "cannot be synced" in caplog.text
    assert "can be synced again" in caplog.text
    # Frames that were written while syncs failed are in the main file, not only in SQLite's log.
    copied = path.parent / "without log.sqlite3"
    copied.write_bytes(path.read_bytes())
    with journal_view(copied) as seen:
        assert seen.frames_appended >= 1
    assert [group.frames for group in take(journal)] == [[b"before" * 1_000], [b"after"]]


def eventually(what: str, seconds: float = 60.0) -> Iterator[None]:
    """Yield until `seconds` have passed, then fail."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.005)
    pytest.fail(f"not within {seconds:g} s: {what}")


def test_a_drained_journal_skips_to_a_position(path: Path) -> None:
    """Also after it was opened again; waiting frames keep their positions."""
    journal = Journal(path, feed="test")
    journal.skip_to(1000)
    assert (journal.end, journal.bytes_waiting, journal.start) == (1000, 0, 1000)
    journal.append([Frame(b"abc", 1, 1)], epoch=1)
    journal.skip_to(2000)
    assert [(group.position, group.end) for group in journal.peek()] == [(1000, 1003)]
    journal.close()
    journal = Journal(path, feed="test")
    (group,) = journal.take(max_bytes=100, linger=0, wait=0)
    journal.trim(group.end)
    journal.skip_to(2000)
    journal.skip_to(500)
    assert (journal.end, journal.frames_trimmed) == (2000, 0)
    journal.close()
    with journal_view(path) as looked_at:
        assert (looked_at.end, looked_at.frames_appended) == (2000, 1)


def test_an_owner_does_not_take_frames_of_the_next_owner(path: Path) -> None:
    first = Journal(path, feed="test")
    first.append([Frame(b"first", 1, 1)], epoch=1)
    second = Journal(path, feed="test")
    second.append([Frame(b"second", 2, 1)], epoch=2)
    assert [group.epoch for group in first.take(max_bytes=100, linger=0, wait=0)] == [1]
    first.stop_appending()
    assert first.drained
    assert [group.epoch for group in second.take(max_bytes=100, linger=0, wait=0)] == [1, 2]
    first.close()
    second.close()


def test_journals_are_readable_by_their_owner_alone_and_older_ones_are_corrected(path: Path) -> None:
    umask = os.umask(0)
    try:
        path.parent.mkdir(mode=0o755)
        old = path.parent / "test.damaged-20250101T000000.sqlite3"
        old.write_bytes(b"frames")
        old.chmod(0o644)
        journal = Journal(path, feed="test")
        journal.append(frames(b"a"), epoch=1)
        again = Journal(path, feed="test")
    finally:
        os.umask(umask)
    again.append(frames(b"b"), epoch=2)
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir() if file.suffix != ".lock"}
    assert set(modes.values()) == {"0o600"}, modes
    assert path.parent.stat().st_mode & 0o777 == 0o700
    again.close()
    journal.close()
