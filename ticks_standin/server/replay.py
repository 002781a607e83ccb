"""Replay of a journal: sends the frames that ingestion once received.

A journal is a SQLite file with the layout of ``sql/journal/journal.sql``, version 1. It is read here independently:
the stand-in is the other end of the connection, and imports nothing of ingestion.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from ticks_standin.errors import StandInError
from ticks_standin.server.connection import Connection

_APPLICATION_ID = 0x7469636B
_VERSION = 1
_UNREAD_LIMIT = 1 << 20
_POLL_S = 0.002
_FRAMES_AT_ONCE = 200
_FIRST_BYTE = {"polygon": b"[", "twelve_data": b"{"}


class _Group(msgspec.Struct, array_like=True):
    epoch: int
    connection: int
    received_at: list[int]
    frames: list[bytes]


_decode = msgspec.msgpack.Decoder(_Group).decode


def recorded(file: Path) -> Iterator[tuple[int, bytes]]:
    """The time of receipt of each frame, in nanoseconds of UNIX time, and the frame, in the order of the journal.

    Raises:
        StandInError: if the file is not a journal of this version, or is damaged.
    """
    if not file.is_file():
        raise StandInError(f"there is no journal at {file}")
    try:
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as journal:
            application_id = journal.execute("PRAGMA application_id").fetchone()[0]
            version = journal.execute("PRAGMA user_version").fetchone()[0]
            if (application_id, version) != (_APPLICATION_ID, _VERSION):
                raise StandInError(f"{file} is not a journal of version {_VERSION}")
            for (data,) in journal.execute("SELECT data FROM frame_group ORDER BY position"):
                group = _decode(data)
                yield from zip(group.received_at, group.frames, strict=True)
    except (sqlite3.DatabaseError, msgspec.DecodeError, ValueError) as error:
        raise StandInError(f"{file} cannot be read as a journal: {error}") from error


def is_data(payload: bytes) -> bool:
    """Whether a recorded frame is anything but a status, an acknowledgement or a heartbeat."""
    start = payload[:200]
    if start.startswith(b'{"event":'):
        return start.startswith(b'{"event":"price"')
    return not start.startswith(b'[{"ev":"status"')


async def replay(
    frames: Iterable[tuple[int, bytes]],
    *,
    speed: float,
    subscribers: Callable[[], list[Connection]],
    data_only: bool = True,
) -> int:
    """Send recorded frames to the subscribers at ``speed`` times the recorded pace; 0 is as fast as they read.

    Each gets the frames of its protocol, and those that belong to neither. While nobody is subscribed, it pauses.
    Without ``data_only`` statuses and acknowledgements are sent too. Returns the number of frames.
    """
    sent, first_ns, start = 0, 0, 0.0
    for received_at, payload in frames:
        if data_only and not is_data(payload):
            continue
        if not first_ns:
            first_ns, start = received_at, time.monotonic()
        clients = subscribers()
        while not clients:
            await asyncio.sleep(_POLL_S)
            start += _POLL_S
            clients = subscribers()
        if speed:
            wait = start + (received_at - first_ns) / 1e9 / speed - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
        while any(each.is_behind(_UNREAD_LIMIT) for each in clients):
            await asyncio.sleep(_POLL_S)
        for connection in clients:
            if payload[:1] not in (b"[", b"{") or payload[:1] == _FIRST_BYTE[connection.session.provider]:
                connection.queue(payload, odd=(("replayed", "frames"),))
                connection.flush()
        sent += 1
        if sent % _FRAMES_AT_ONCE == 0:
            await asyncio.sleep(0)
    return sent
