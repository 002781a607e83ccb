"""What a journal takes on the disk: its limit, also while somebody reads it; full disks; rewrites that were cut off."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion.gaps.coverage_notes import CoverageNotes, Period
from ticks_platform.ingestion.journal import rewrite
from ticks_platform.ingestion.journal.file import connect
from ticks_platform.ingestion.journal.journal import FrameGroup, Journal, JournalFencedError, JournalFullError
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.journal.space import Budget, Room
from ticks_platform.paths import open_lock
from ticks_platform_tests.support.disks import on_small_disk

MEGABYTE = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "test.sqlite3"


def disk_use(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir())


def steady_use(path: Path) -> int:
    """As `disk_use`, at no moment in which a file is replaced, and both are there."""
    with open_lock(path):
        return disk_use(path)


def append(journal: Journal, number: int, size: int = 20_000) -> None:
    journal.append([Frame(b"%d " % number + b"x" * size, 1_000 + number, 1)], epoch=1)


def take(journal: Journal) -> list[FrameGroup]:
    return journal.take(max_bytes=1 << 30, linger=0, wait=0)


def numbers(groups: list[FrameGroup]) -> list[int]:
    return [int(frame.split()[0]) for group in groups for frame in group.frames]


@pytest.mark.parametrize(
    "size", [20, pytest.param(2_100, marks=pytest.mark.full), 20_000, pytest.param(300_000, marks=pytest.mark.full)]
)
def test_what_is_committed_takes_no_space_while_somebody_reads(path: Path, size: int) -> None:
    journal = Journal(path, feed="test", max_bytes=8 * MEGABYTE)
    append(journal, -1, size)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        before = reading.execute("SELECT count(*), sum(end) FROM frame_group").fetchone()
        found, most = [], 0
        for number in range(16 * MEGABYTE // size if size > 5_000 else 3_000):
            append(journal, number, size)
            if number % 10 == 9:
                groups = take(journal)
                found += numbers(groups)
                journal.trim(groups[-1].end)
            if number % 50 == 0:
                most = max(most, disk_use(path))
        assert most <= 8 * MEGABYTE
        assert reading.execute("SELECT count(*), sum(end) FROM frame_group").fetchone() == before, "its moment"
    found += numbers(take(journal))
    assert found == list(range(-1, number + 1))
    journal.close()


def test_waiting_frames_stay_within_the_limit_and_the_rest_waits_for_room(path: Path) -> None:
    journal = Journal(path, feed="test", max_bytes=4 * MEGABYTE)
    appended = threading.Event()

    def fill() -> None:
        for number in range(400):
            append(journal, number)
        appended.set()

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT * FROM journal").fetchall()
        filling = threading.Thread(target=fill)
        filling.start()
        while not journal.full:
            assert disk_use(path) <= 4 * MEGABYTE
        assert journal.full_of
        assert not appended.is_set()
        found: list[int] = []
        while len(found) < 400:
            groups = journal.take(max_bytes=1 << 18, linger=0, wait=5)
            found += numbers(groups)
            journal.trim(groups[-1].end)
            assert disk_use(path) <= 4 * MEGABYTE
        filling.join()
    assert found == list(range(400))
    assert not journal.full
    journal.close()


@pytest.mark.parametrize("megabytes", [pytest.param(1, marks=pytest.mark.full), 3])
@pytest.mark.parametrize("reading", [False, pytest.param(True, marks=pytest.mark.full)])
def test_groups_that_are_large_for_the_limit_keep_it(path: Path, reading: bool, megabytes: int) -> None:
    """What arrives together after a pause, and one message, are as large as the journal has room for."""
    limit = megabytes * MEGABYTE
    journal = Journal(path, feed="test", max_bytes=limit)
    largest = Budget.of(limit).largest
    assert largest > limit // 4
    sizes = [random.Random(number).choice((20_000, 60_000, largest // 4, largest)) for number in range(80)]

    def fill() -> None:
        for number, size in enumerate(sizes):
            append(journal, number, size)

    filling = threading.Thread(target=fill)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        if reading:
            other.execute("BEGIN")
            other.execute("SELECT * FROM journal").fetchall()
        filling.start()
        found: list[int] = []
        most = 0
        while len(found) < len(sizes):
            groups = journal.take(max_bytes=1 << 18, linger=0.002, wait=5)
            found += numbers(groups)
            most = max(most, steady_use(path))
            journal.trim(groups[-1].end)
            most = max(most, steady_use(path))
        filling.join()
    assert found == list(range(len(sizes)))
    assert most <= limit
    journal.close()


def fill(journal: Journal) -> int:
    """Append until there is no room at a stop; returns the number of frames that are in it."""
    number = 0
    with contextlib.suppress(JournalFullError):
        while True:
            append(journal, number)
            number += 1
            if journal.bytes_waiting > MEGABYTE // 2:
                journal.begin_stop()
                journal.stop_appending()
    return number


def load_while_appending(journal: Journal, more: range, *, waiting: int) -> tuple[list[int], int]:
    """Append in a thread, and commit what is more than `waiting` bytes; what was taken, and the most disk use."""
    appending = threading.Thread(target=lambda: [append(journal, number) for number in more])
    appending.start()
    found: list[int] = []
    most = 0
    while appending.is_alive() or journal.bytes_waiting > waiting:
        most = max(most, steady_use(journal.path))
        if journal.full or journal.bytes_waiting > waiting:
            groups = journal.take(max_bytes=20_000, linger=0, wait=0)
            found += numbers(groups)
            journal.trim(groups[-1].end)
            most = max(most, steady_use(journal.path))
    appending.join()
    return found, most


@pytest.mark.parametrize("reading", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_stop_keeps_the_limit_and_so_does_the_next_owner(path: Path, reading: bool) -> None:
    """What a stop appends to a journal that is full has room of its own, beside the log of the next owner."""
    journal = Journal(path, feed="test", max_bytes=3 * MEGABYTE)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        if reading:
            other.execute("BEGIN")
            other.execute("SELECT * FROM journal").fetchall()
        end = fill(journal)
        assert disk_use(path) <= 3 * MEGABYTE
        journal.close()
        assert disk_use(path) <= 3 * MEGABYTE
        again = Journal(path, feed="test", max_bytes=3 * MEGABYTE)
        found, most = load_while_appending(again, range(end, end + 200), waiting=0)
    assert found == list(range(end + 200))
    assert most <= 3 * MEGABYTE
    again.close()


def test_a_stop_waits_for_room_as_long_as_frames_are_committed(path: Path) -> None:
    journal = Journal(path, feed="test", max_bytes=2 * MEGABYTE)
    for number in range(40):
        append(journal, number)
    journal.begin_stop()
    waiting = threading.Thread(target=lambda: append(journal, 1_000, MEGABYTE))
    waiting.start()
    while not journal.full:
        assert waiting.is_alive()
    found: list[int] = []
    while waiting.is_alive():
        if groups := journal.take(max_bytes=100_000, linger=0, wait=0):
            found += numbers(groups)
            journal.trim(groups[-1].end)
        assert steady_use(path) <= 2 * MEGABYTE
    waiting.join()
    assert (found + numbers(take(journal)))[-1] == 1_000
    journal.close()


def test_a_file_that_a_higher_limit_has_left_keeps_the_lower_one_once_it_is_committed(path: Path) -> None:
    """As one of a release whose stops knew no limit: it is full of free pages, and its log must stay small."""
    journal = Journal(path, feed="test", max_bytes=64 * MEGABYTE)
    for number in range(115):
        append(journal, number)
    journal.close()
    small = Journal(path, feed="test", max_bytes=3 * MEGABYTE)
    # A megabyte waits, so that it is too much for a copy.
    found, most = load_while_appending(small, range(115, 300), waiting=MEGABYTE)
    assert most <= 3 * MEGABYTE
    assert found + numbers(take(small)) == list(range(300))
    small.trim(small.end)
    assert path.stat().st_size < MEGABYTE, "it is small again"
    small.close()


@pytest.mark.full
def test_who_asks_again_for_a_place_in_the_log_gets_none_while_somebody_reads(path: Path) -> None:
    """Each refusal let the next one who asked write an eighth more."""
    Journal(path, feed="test", max_bytes=3 * MEGABYTE).close()
    room = Room(path, Budget.of(3 * MEGABYTE))
    with contextlib.closing(connect(path)) as writer, contextlib.closing(connect(path)) as reader:
        writer.execute("CREATE TABLE filled (data BLOB)")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM filled").fetchall()
        refused = 0
        for _ in range(5_000):
            if room.log_is_short(writer, 2_000):
                with writer:
                    writer.execute("INSERT INTO filled VALUES (zeroblob(2000))")
            else:
                refused += 1
        assert refused > 100
        assert disk_use(path) <= 3 * MEGABYTE


@pytest.mark.full
def test_a_limit_is_kept_without_a_reader(path: Path) -> None:
    journal = Journal(path, feed="test", max_bytes=8 * MEGABYTE)
    for number in range(3_000):
        append(journal, number, 5_000)
        if journal.bytes_waiting > 2 * MEGABYTE:
            groups = take(journal)
            journal.trim(groups[-1].end)
        assert number % 100 or disk_use(path) <= 8 * MEGABYTE
    journal.close()


FILL = """
import sys
from pathlib import Path
from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion.journal.journal import Journal, JournalUnavailableError

path = Path(sys.argv[1]) / "journal" / "test.sqlite3"

def append(journal, number):
    journal.append([Frame(b"%d " % number + b"x" * 20_000, 1, 1)], epoch=1)

def fill(journal, number):
    try:
        while True:
            append(journal, number)
            number += 1
    except JournalUnavailableError as error:
        assert "full" in str(error), error
    return number

def fill_disk():
    with (path.parent / "of another program").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            pass

def load(journal, *, steps):
    found = []
    while groups := journal.take(max_bytes=steps, linger=0, wait=0):
        found += [int(frame.split()[0]) for group in groups for frame in group.frames]
        journal.trim(groups[-1].end)
    return found
"""


@pytest.mark.parametrize(
    ("steps", "reading"),
    [
        (1 << 20, True),
        *(
            pytest.param(steps, reading, marks=pytest.mark.full)
            for steps, reading in ((30_000, False), (30_000, True), (1 << 30, False), (1 << 30, True))
        ),
    ],
)
def test_a_full_disk_frees_itself_when_frames_are_committed(tmp_path: Path, steps: int, reading: bool) -> None:
    """As when the database was away for long, and is back: nothing is lost, and nobody has to help."""
    program = f"""
journal = Journal(path, feed="test")
end = fill(journal, 0)
assert end > 100, end
fill_disk()
assert fill(journal, end) == end
if {reading}:
    import sqlite3
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM frame_group").fetchone()
found = load(journal, steps={steps})
assert found == list(range(end)), (len(found), end)
for number in range(end, end + 50):
    append(journal, number)
found = load(journal, steps={steps})
assert found == list(range(end, end + 50)), found
journal.close()
"""
    on_small_disk(tmp_path / "disk", FILL + program, megabytes=6)


@pytest.mark.parametrize("ended", ["killed", pytest.param("closed", marks=pytest.mark.full)])
def test_a_new_owner_opens_a_journal_on_a_full_disk(tmp_path: Path, ended: str) -> None:
    program = f"""
import os
if os.fork() == 0:
    journal = Journal(path, feed="test")
    end = fill(journal, 0)
    fill_disk()
    (path.parent / "end").symlink_to(str(end))
    if {ended!r} == "closed":
        journal.close()
        fill_disk()
    os._exit(0)
assert os.wait()[1] == 0
end = int(os.readlink(path.parent / "end"))
journal = Journal(path, feed="test")
assert journal.bytes_waiting
again = Journal(path, feed="test")
assert load(again, steps=1 << 20) == list(range(end))
append(again, end)
assert load(again, steps=1) == [end]
again.close()
"""
    on_small_disk(tmp_path / "disk", FILL + program, megabytes=6)


@pytest.mark.full
def test_a_disk_without_room_for_a_file_is_told(tmp_path: Path) -> None:
    """It has room for so many files: each of the journal's is the first that has none."""
    program = """
path.parent.mkdir()
others = [path.with_name(str(number)) for number in range(12)]
for each in others:
    try:
        each.touch()
    except OSError:
        break
told = 0
for each in others:
    try:
        journal = Journal(path, feed="test")
        append(journal, told)
        break
    except JournalUnavailableError as error:
        assert "cannot be" in str(error), error
        told += 1
        each.unlink()
assert told >= 4, told
assert load(journal, steps=1) == [told]
journal.close()
"""
    on_small_disk(tmp_path / "disk", FILL + program, megabytes=6, files=10)


@pytest.mark.full
def test_a_journal_whose_lock_cannot_be_had_is_rewritten_later(path: Path) -> None:
    """As where a process has too many files open."""
    larger = Journal(path, feed="test", max_bytes=8 * MEGABYTE)
    for number in range(200):
        append(larger, number)
    larger.close()
    journal = Journal(path, feed="test", max_bytes=MEGABYTE)
    lock = path.with_suffix(".lock")
    lock.unlink()
    lock.mkdir()
    assert numbers(take(journal)) == list(range(200))
    journal.trim(journal.end)
    append(journal, 200)
    lock.rmdir()
    assert numbers(take(journal)) == [200]
    journal.trim(journal.end)
    assert steady_use(path) <= MEGABYTE
    journal.close()


@pytest.mark.full
def test_two_journals_share_a_full_disk(tmp_path: Path) -> None:
    program = """
other_path = path.with_name("other.sqlite3")
journal, other = Journal(path, feed="test"), Journal(other_path, feed="other")
end = fill(journal, 0)
other_end = fill(other, 0)
assert load(journal, steps=1 << 20) == list(range(end))
append(journal, end)
assert load(other, steps=1 << 20) == list(range(other_end))
append(other, other_end)
"""
    on_small_disk(tmp_path / "disk", FILL + program, megabytes=8)


def test_a_rewritten_journal_is_the_same_journal(path: Path) -> None:
    journal = Journal(path, feed="test", max_bytes=4 * MEGABYTE)
    for number in range(60):
        append(journal, number)
    notes = CoverageNotes(path, epoch=7, journals=[path])
    notes.write([Period("AAPL", 1, 5)])
    journal.trim(take(journal)[49].end)
    old = sqlite3.connect(path)
    old.execute("SELECT * FROM journal").fetchone()
    with journal_view(path) as seen:
        before = (seen.feed, seen.journal_id, seen.end, seen.frames_appended)
    assert journal._rewrite()
    assert path.stat().st_size < 10 * 21_000 + 65_536
    with journal_view(path) as seen:
        assert (seen.feed, seen.journal_id, seen.end, seen.frames_appended) == before
        assert seen.waiting_after(0).frames == 10
    assert [each.periods for each in CoverageNotes(path, epoch=8, journals=[path]).earlier()] == [
        [Period("AAPL", 1, 5)]
    ]
    notes.write([Period("MSFT", 1, 6)])
    notes.delete(notes.last - 1)
    assert [each.periods for each in CoverageNotes(path, epoch=8, journals=[path]).earlier()] == [
        [Period("MSFT", 1, 6)]
    ]
    assert old.execute("SELECT generation < 0 FROM journal").fetchone() == (1,), "nobody may write to the old file"
    old.close()
    append(journal, 60)
    again = Journal(path, feed="test")
    assert numbers(take(again)) == list(range(50, 61))
    with pytest.raises(JournalFencedError):
        append(journal, 61)
    assert not journal._rewrite(), "an old owner replaces nothing"
    append(again, 61)
    again.close()
    journal.close()


@pytest.mark.parametrize("at", ["copied", "committed", "named", "log removed"])
def test_a_rewrite_that_is_cut_off_leaves_the_old_file_or_the_new_one(path: Path, at: str) -> None:
    journal = Journal(path, feed="test")
    for number in range(20):
        append(journal, number)
    journal.trim(take(journal)[9].end)
    folder = path.parent
    saved = folder.with_name("saved")
    new = rewrite._new(path)
    if at == "copied":
        rewrite._copy(path, new, position=0)
        new.write_bytes(new.read_bytes()[:9_000])
    else:
        rewrite._copy(path, new, position=journal.start or 0)
        with sqlite3.connect(path) as old:
            old.execute("UPDATE journal SET generation = -generation")
        old.close()
    if at in ("named", "log removed"):
        new.rename(rewrite._ready(path))
    if at == "log removed":
        Path(f"{path}-wal").unlink()
    shutil.copytree(folder, saved)
    journal.close()
    again = Journal(saved / path.name, feed="test")
    assert numbers(take(again)) == list(range(10, 20))
    assert again.journal_id == journal.journal_id
    append(again, 20)
    assert numbers(take(again)) == [20]
    again.close()
    assert sorted(file.name for file in saved.iterdir()) == ["test.lock", "test.sqlite3", "test.sqlite3-reserve"]


def test_a_journal_of_an_older_release_opens_and_keeps_its_frames(path: Path, tmp_path: Path) -> None:
    """A file in WAL mode that SQLite checkpointed by itself, and that is larger than the limit of today."""
    journal = Journal(path, feed="test", max_bytes=64 * MEGABYTE)
    for number in range(500):
        append(journal, number)
    journal.close()
    Path(f"{path}-reserve").unlink()
    small = Journal(path, feed="test", max_bytes=4 * MEGABYTE)
    assert small.full
    assert numbers(take(small)) == list(range(500))
    small.trim(small.end)
    append(small, 500)
    assert disk_use(path) <= 4 * MEGABYTE
    small.close()
