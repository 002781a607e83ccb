"""Files of past data, without I/O: rows become frames, which are decoded like those of a WebSocket.

A frame has the names of its columns and the number of its first line, so decoding depends on the frame alone.
"""

from __future__ import annotations

import abc
import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal, get_args

import msgspec

from ticks_platform.feeds.columns import Decoded, TickColumns
from ticks_platform.feeds.decoding import UNDECODABLE
from ticks_platform.feeds.events import Event, Rejected
from ticks_platform.feeds.plain_rows import PlainRows

_MARK = b'{"import":'
"""Begins each frame of a file."""


Kind = Literal["trades", "quotes", "bars"]

KINDS: tuple[Kind, ...] = get_args(Kind)


class FileHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first line of a frame."""

    format: str = msgspec.field(name="import")
    file: str
    """The file's name, for people."""
    line: int
    """Number of the frame's first line in the file, from 1."""
    columns: tuple[str, ...]
    """What each column is, by the names of the format; empty if it is not read."""
    times: str = ""
    """What its times are, where the format leaves it open."""
    kind: Kind = "trades"
    """What its rows are, where the format leaves it open."""
    unit: str = "line"
    """What people count in the file: lines, or rows where it has none."""


_encode = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(FileHeader).decode


class FileFormat(abc.ABC):
    """What the rows of a file mean. Values are texts; `columns` of `FileHeader` names them."""

    @abc.abstractmethod
    def events(self, header: FileHeader, values: Sequence[str]) -> list[Event]:
        """The events of a row with as many values as the header has columns. Must not raise on bad input.

        The bytes of a `Rejected` are left empty.
        """

    def finish(self, events: list[Event]) -> list[Event]:
        """The events of a frame, as many, where some depend on others."""
        return events

    def ticks(self, header: FileHeader, rows: PlainRows) -> TickColumns | None:
        """The ticks of ordinary rows, one for each, at once; None if `events` has to be called for each."""
        return None


class RowDecoder:
    """Decodes the frames of files of one format."""

    def __init__(self, format: FileFormat) -> None:
        self._format = format

    def decode(self, frame: bytes) -> list[Event]:
        """The events of a frame, in order; `Rejected` for what cannot be decoded."""
        first, _, rest = frame.partition(b"\n")
        try:
            header = _decode_header(first)
        except UNDECODABLE as error:
            return [Rejected(f"malformed frame of a file: {error}", frame)]
        lines = rest.splitlines(keepends=True)
        events = [self._events(header, number, line) for number, line in enumerate(lines)]
        return self._format.finish(list(chain.from_iterable(events)))

    def decode_many(self, frames: Sequence[bytes]) -> Decoded | None:
        """The ticks of frames with ordinary rows only; None if `decode` has to be called for each."""
        parts: list[TickColumns] = []
        counts: list[int] = []
        for lines, header in _by_header(frames):
            rows = PlainRows.of(b"".join(lines), len(header.columns))
            if rows is None:
                return None
            ticks = self._format.ticks(header, rows)
            if ticks is None:
                return None
            parts.append(ticks)
            counts += [each.count(b"\n") for each in lines]
        return Decoded(TickColumns.joined(parts), counts)

    def origin(self, frame: bytes, place: int) -> str:
        """The file and the line of the event at this place of a frame."""
        first, _, rest = frame.partition(b"\n")
        header = _decode_header(first)
        for number, line in enumerate(rest.splitlines(keepends=True)):
            place -= len(self._events(header, number, line))
            if place < 0:
                return f"{header.file}, {header.unit} {header.line + number}"
        return header.file

    def _events(self, header: FileHeader, number: int, line: bytes) -> list[Event]:
        """The events of the line with this number in its frame."""
        if not line.strip():
            return []
        try:
            rows = list(csv.reader([line.decode()], strict=True))
            values = rows[0] if len(rows) == 1 else []
            if len(values) != len(header.columns):
                raise csv.Error(f"{len(values)} values in {len(header.columns)} columns")  # noqa: TRY301
            events = self._format.events(header, values)
        except (csv.Error, *UNDECODABLE) as error:
            events = [Rejected(f"malformed row: {error}", b"")]
        return [
            Rejected(event.reason, as_frame(msgspec.structs.replace(header, line=header.line + number), line))
            if isinstance(event, Rejected)
            else event
            for event in events
        ]


def _by_header(frames: Sequence[bytes]) -> Iterator[tuple[list[bytes], FileHeader]]:
    """The lines of frames, each ended by a line feed; of frames that follow each other and are of one kind together."""
    lines: list[bytes] = []
    known: FileHeader | None = None
    for frame in frames:
        first, _, rest = frame.partition(b"\n")
        header = msgspec.structs.replace(_decode_header(first), line=0)
        if known is not None and header != known:
            yield lines, known
            lines = []
        known = header
        lines.append(rest if rest.endswith(b"\n") or not rest else rest + b"\n")
    if known is not None:
        yield lines, known


def as_frame(header: FileHeader, lines: bytes) -> bytes:
    """A frame of these lines; the header has the number of the first one."""
    return _encode(header) + b"\n" + lines


def format_of(frame: bytes) -> str | None:
    """The name of the format of a frame of a file; None if the bytes are none."""
    if not frame.startswith(_MARK):
        return None
    try:
        return _decode_header(frame.partition(b"\n")[0]).format
    except UNDECODABLE:
        return None


def required(values: dict[str, str], *names: str) -> Rejected | None:
    """Why a row without one of these values is rejected; None if it has them."""
    missing = [name for name in dict.fromkeys(names) if not values.get(name)]
    return Rejected(f"row without {', '.join(missing)}", b"") if missing else None


def named(header: FileHeader, values: Sequence[str]) -> dict[str, str]:
    """The values of a row that are not empty, by what they are."""
    return {name: value for name, value in zip(header.columns, values, strict=True) if name and value}
