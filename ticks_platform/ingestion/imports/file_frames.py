"""Reads a file as if it were a journal: groups of frames at positions, once, in order."""

from __future__ import annotations

import abc
import gzip
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import IO, cast

import msgspec

from ticks_platform.errors import ActionRequiredError
from ticks_platform.feeds.files import FileHeader, as_frame
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.recent_frames import RecentFrames
from ticks_platform.ingestion.repair.gaps import CONNECTION

FRAME_BYTES = 64 << 10
"""Bytes of a file in one frame, approximately. Few, since a large frame is stored whole with its first rejected row."""

_LONGEST_LINE = 1 << 20
_SKIPPED = 16 << 20
"""Bytes without a row that is kept, after which the loader may send a heartbeat."""

KeepsLine = Callable[[bytes], bool]
"""Whether a line is imported, which its first value alone decides."""


class FileError(ActionRequiredError):
    """A file cannot be imported; the message says which, and why."""


class Frames(abc.ABC):
    """The rows of a file from a checkpoint on. One thread reads.

    Like a Journal to its loader, which takes and trims. Positions are where rows are in the file, after `first`.
    """

    def __init__(self, *, journal_id: str, header: FileHeader, epoch: int, now: Callable[[], int]) -> None:
        """`header` is that of the frames, whose line is set."""
        self.journal_id = journal_id
        self.recent = RecentFrames()
        """As a Journal's. Nothing is received here."""
        self._header = header
        self._epoch = epoch
        self._now = now
        self._groups = self._read()
        self._taken: deque[FrameGroup] = deque()
        self._again: deque[FrameGroup] = deque()
        self._ended = False

    @property
    @abc.abstractmethod
    def bytes_read(self) -> int:
        """Bytes of the file, packed as it is, that were read."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the file."""

    @abc.abstractmethod
    def _read(self) -> Iterator[FrameGroup]:
        """The groups; one without frames where the loader should have a chance. Raises FileError."""

    @property
    def drained(self) -> bool:
        """Whether everything was taken."""
        return self._ended and not self._again

    def take(self, *, max_bytes: int, linger: float, wait: float) -> list[FrameGroup]:
        """The next groups, about `max_bytes`; none at the end, or where many lines are not kept. Raises FileError."""
        groups: list[FrameGroup] = []
        size = 0
        while size < max_bytes:
            group = self._again.popleft() if self._again else next(self._groups, None)
            if group is None:
                self._ended = not self._again
                break
            if not group.frames:
                break
            groups.append(group)
            size += len(group.frames[0])
        self._taken.extend(groups)
        return groups

    def take_again(self, position: int) -> None:
        """Let the next `take` begin at a group that was taken already."""
        while self._taken and self._taken[-1].position >= position:
            self._again.appendleft(self._taken.pop())

    def trim(self, position: int) -> None:
        """Forget the groups before this position: they are committed."""
        while self._taken and self._taken[0].end <= position:
            self._taken.popleft()

    def _group(self, begin: int, end: int, line: int, lines: bytes) -> FrameGroup:
        frame = as_frame(msgspec.structs.replace(self._header, line=line), lines)
        # One frame: its header takes no positions, so another release may write another one.
        return FrameGroup(begin, end, self._epoch, CONNECTION, [self._now()], [frame])


class FileFrames(Frames):
    """The lines of a file after its first one. Positions are bytes of the unpacked file."""

    def __init__(
        self,
        path: Path,
        *,
        journal_id: str,
        header: FileHeader,
        first: int,
        position: int,
        epoch: int,
        now: Callable[[], int],
        keeps: KeepsLine | None = None,
    ) -> None:
        """`keeps` tells which lines are rows to import. Raises FileError."""
        super().__init__(journal_id=journal_id, header=header, epoch=epoch, now=now)
        self._path = path
        self._first, self._begin = first, position - first
        self._keeps = keeps
        self._raw = path.open("rb")
        self._contents = unpacked(self._raw)
        self._bytes_read = 0

    @property
    def bytes_read(self) -> int:
        return self._bytes_read

    def close(self) -> None:
        self._contents.close()
        self._raw.close()

    def _read(self) -> Iterator[FrameGroup]:
        begin = self._begin
        line, skipped = 1, 0
        for offset, block in self._blocks():
            end = offset + len(block)
            if end <= begin:
                line += block.count(b"\n")
                continue
            if offset < begin:
                before = block[: begin - offset]
                line += before.count(b"\n")
                offset, block = begin, block[begin - offset :]
            for group in self._groups_of(offset, line, block):
                yield group
                skipped = 0
            line += block.count(b"\n")
            skipped += len(block)
            if skipped >= _SKIPPED:
                skipped = 0
                yield FrameGroup(0, 0, self._epoch, CONNECTION, [], [])

    def _groups_of(self, offset: int, line: int, block: bytes) -> Iterator[FrameGroup]:
        if line == 1:
            names, _, rest = block.partition(b"\n")
            offset, line, block = offset + len(names) + 1, 2, rest
        if not block:
            return
        if self._keeps is None:
            yield self._lines(offset, line, block)
            return
        first = block[: block.find(b",") + 1]
        if first and block.count(b"\n" + first) + 1 == block.count(b"\n"):
            # Of one symbol, as most are in a sorted file.
            if self._keeps(block):
                yield self._lines(offset, line, block)
            return
        lines = block.splitlines(keepends=True)
        kept = list(map(self._keeps, lines))
        if all(kept):
            yield self._lines(offset, line, block)
            return
        place = 0
        for keeps, run in groupby(kept):
            count = len(list(run))
            part = b"".join(lines[place : place + count])
            if keeps:
                yield self._lines(offset, line + place, part)
            offset += len(part)
            place += count

    def _lines(self, offset: int, line: int, lines: bytes) -> FrameGroup:
        begin = self._first + offset
        return self._group(begin, begin + len(lines), line, lines)

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        """Whole lines, with the offset of the first one."""
        offset, rest = 0, b""
        while True:
            data = read(self._contents, FRAME_BYTES, self._path)
            self._bytes_read = self._raw.tell()
            block = rest + data
            end = block.rfind(b"\n") + 1 if data else len(block)
            if end == 0 and len(block) > _LONGEST_LINE:
                raise FileError(f"{self._path} has a line of more than {_LONGEST_LINE >> 20} MB: it is no CSV file")
            if end:
                yield offset, block[:end]
            offset, rest = offset + end, block[end:]
            if not data:
                return


def unpacked(raw: IO[bytes]) -> IO[bytes]:
    """The contents of a file, which may be packed by gzip, whatever its name."""
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw


def read(contents: IO[bytes], size: int, path: Path) -> bytes:
    """The next bytes. Raises FileError."""
    try:
        return contents.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(f"{path} cannot be unpacked, its rows up to there are loaded: {error}") from error


def first_line(path: Path) -> str:
    """The first line of a file, without its end. Raises FileError and OSError."""
    with path.open("rb") as raw:
        line, data = b"", b"x"
        contents = unpacked(raw)
        while data and b"\n" not in line and len(line) <= _LONGEST_LINE:
            data = read(contents, FRAME_BYTES, path)
            line += data
    try:
        text = line.partition(b"\n")[0].decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        raise FileError(f"{path} is no text in UTF-8") from None
    if not text:
        raise FileError(f"{path} has no first line with the names of its columns")
    return text
