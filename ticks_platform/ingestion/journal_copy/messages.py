"""The messages of a stream: a bundle of a journal's groups with the notes of coverage, and the marker of an owner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

JOURNAL = "Ticks-Journal"
POSITION = "Ticks-Position"
END = "Ticks-End"
FRAMES = "Ticks-Frames"
EPOCH = "Ticks-Epoch"
JOURNAL_END = "Ticks-Journal-End"
JOURNAL_FRAMES = "Ticks-Journal-Frames"
PART = "Ticks-Part"
MESSAGE_ID = "Nats-Msg-Id"
EXPECTED = "Nats-Expected-Last-Sequence"

LARGEST = 1 << 20
"""Bytes of the largest message, which is what servers take by default; a larger group of frames comes in parts."""

HEADERS_SIZE = 1024
"""Bytes that the headers of a message take at most; servers count them as a part of it."""


class Note(NamedTuple):
    """A row of a journal's `coverage_note`."""

    number: int
    epoch: int
    periods: bytes


class Group(NamedTuple):
    """A row of a journal's `frame_group`."""

    position: int
    end: int
    frames_before: int
    frames: int
    data: bytes


class Bundle(msgspec.Struct, array_like=True):
    """Whole groups that follow each other, and the notes that were written before the last of them."""

    notes: list[Note]
    groups: list[Group]


class Marker(msgspec.Struct):
    """What a new owner publishes first: from then on, nobody with an earlier epoch can publish."""

    epoch: int
    journal: str
    """Its own."""
    owner: str
    ends: dict[str, int]
    """Up to where each journal was copied by then."""


class Message(NamedTuple):
    """A message to publish."""

    subject: str
    payload: bytes
    headers: dict[str, str]

    @property
    def id(self) -> str:
        """What tells it from all others."""
        return self.headers[MESSAGE_ID]


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Bundle).decode


def journal_subject(stream: str, journal_id: str) -> str:
    """The subject of a journal's groups."""
    return f"{stream}.journal.{journal_id}"


def owner_subject(stream: str) -> str:
    """The subject of the owners' markers."""
    return f"{stream}.owner"


def marker_message(stream: str, marker: Marker) -> Message:
    """The message of a marker."""
    return Message(
        owner_subject(stream),
        msgspec.json.encode(marker),
        {EPOCH: str(marker.epoch), JOURNAL: marker.journal, MESSAGE_ID: f"owner:{marker.owner}:{marker.epoch}"},
    )


def decode_marker(data: bytes) -> Marker:
    """The marker of a message. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=Marker)


def decode_bundle(data: bytes) -> Bundle:
    """The bundle of a message. Raises msgspec.MsgspecError."""
    return _decode(data)


class Extent(NamedTuple):
    """How far a journal went when a message was published."""

    end: int
    frames: int


def messages_of(
    stream: str, journal_id: str, bundle: Bundle, *, position: int, epoch: int, extent: Extent, limit: int
) -> Iterator[Message]:
    """The messages of a bundle: one, or more if a group of frames is larger than the `limit` of the servers.

    `position` is where it begins if it has notes only.
    """
    begin = bundle.groups[0].position if bundle.groups else position
    end = bundle.groups[-1].end if bundle.groups else position
    note = bundle.notes[-1].number if bundle.notes else 0
    payload = encode(bundle)
    parts = [payload[at : at + limit] for at in range(0, len(payload), limit)]
    for number, part in enumerate(parts, start=1):
        yield Message(
            journal_subject(stream, journal_id),
            part,
            {
                JOURNAL: journal_id,
                POSITION: str(begin),
                # What is complete with this message.
                END: str(end if number == len(parts) else begin),
                FRAMES: str(sum(group.frames for group in bundle.groups)),
                EPOCH: str(epoch),
                JOURNAL_END: str(extent.end),
                JOURNAL_FRAMES: str(extent.frames),
                PART: f"{number}/{len(parts)}",
                MESSAGE_ID: f"{journal_id}:{begin}:{end}:{note}:{epoch}:{number}",
            },
        )


def number(headers: Mapping[str, str] | None, name: str) -> int:
    """A number in the headers of a message; 0 if it is missing."""
    value = (headers or {}).get(name, "")
    return int(value) if value.isdigit() else 0


def part(headers: Mapping[str, str] | None) -> tuple[int, int]:
    """Which part of how many a message is."""
    this, _, of = (headers or {}).get(PART, "1/1").partition("/")
    return (int(this), int(of)) if this.isdigit() and of.isdigit() else (1, 1)
