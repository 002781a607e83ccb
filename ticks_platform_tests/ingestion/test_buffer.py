"""The frame buffer: order, positions, bounds."""

from __future__ import annotations

import threading

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion.buffer import BufferClosedError, FrameBuffer


def frame(data: bytes) -> Frame:
    return Frame(data, 1, 1)


def test_positions_count_the_bytes_before() -> None:
    buffer = FrameBuffer(start=100)
    for data in (b"abc", b"", b"de"):
        buffer.append(frame(data))
    taken = buffer.take(max_frames=10, linger=0, wait=0)
    assert [(item.position, item.data) for item in taken] == [(100, b"abc"), (103, b""), (104, b"de")]
    assert buffer.depth_bytes == 0


def test_take_gives_the_oldest_first_and_no_more_than_asked_for() -> None:
    buffer = FrameBuffer(start=0)
    for number in range(5):
        buffer.append(frame(b"%d" % number))
    assert [item.data for item in buffer.take(max_frames=3, linger=0, wait=0)] == [b"0", b"1", b"2"]
    assert [item.data for item in buffer.take(max_frames=3, linger=0, wait=0)] == [b"3", b"4"]
    assert buffer.take(max_frames=3, linger=0, wait=0) == []


def test_a_full_buffer_makes_the_reader_wait_until_there_is_room() -> None:
    buffer = FrameBuffer(start=0, max_bytes=4)
    buffer.append(frame(b"full"))
    through = threading.Event()
    reader = threading.Thread(target=lambda: (buffer.append(frame(b"next")), through.set()))
    reader.start()
    assert not through.wait(0.1)
    buffer.take(max_frames=1, linger=0, wait=0)
    assert through.wait(5)
    reader.join()


def test_a_closed_buffer_takes_no_more_but_gives_what_it_has() -> None:
    buffer = FrameBuffer(start=0, max_bytes=1)
    buffer.append(frame(b"a"))
    refused = threading.Event()

    def append() -> None:
        with pytest.raises(BufferClosedError):
            buffer.append(frame(b"b"))
        refused.set()

    waiting = threading.Thread(target=append)
    waiting.start()
    buffer.close()
    assert refused.wait(5), "an append that waits for room is woken too"
    waiting.join()
    assert not buffer.drained
    assert [item.data for item in buffer.take(max_frames=9, linger=5, wait=5)] == [b"a"], "without lingering"
    assert buffer.drained
