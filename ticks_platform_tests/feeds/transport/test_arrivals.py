"""Frames that arrive together, while this machine's clock is set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.transport import clock
from ticks_platform_tests.support.feeds import Peer, PeerServer, Running, encode, price, twelve_data, wait_until

HOURS = 3600 * 10**9


class Groups(Running):
    """Keeps what is handed over together."""

    groups: list[Sequence[Frame]]

    def _on_frames(self, frames: Sequence[Frame]) -> None:
        self.__dict__.setdefault("groups", []).append(frames)
        super()._on_frames(frames)


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_is_set_among_frames_that_arrive_together(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group is kept with one correction: that of its first frame made good trades come from the future."""
    machine = SimpleNamespace(wrong=0)
    module = SimpleNamespace(
        time_ns=lambda: time.time_ns() + machine.wrong,
        clock_gettime_ns=time.clock_gettime_ns,
    )
    monkeypatch.setattr(clock, "time", module)

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        # It is noticed when the first frame begins to stream, while the others are in the socket's buffer.
        machine.wrong = hours * HOURS
        peer.socket.sendall(b"".join(encode(price()) for _ in range(20)))
        peer.receive_until_end()

    begin = clock.steady_ns()
    with PeerServer(serve) as server, Groups(twelve_data(server.url)) as running:
        wait_until(lambda: len(running.frames) == 20, "20 frames")
        end = clock.steady_ns()
        assert all(len({frame.stepped for frame in group}) == 1 for group in running.groups)
        assert all(group[0].covered_until is not None for group in running.groups)
        assert all(begin <= frame.received_at - frame.stepped <= end for frame in running.frames)
        assert abs(running.frames[-1].stepped - hours * HOURS) < 10**9
