"""A signal that interrupts its process anywhere is obeyed."""

from __future__ import annotations

import logging
import signal
import threading

import pytest

from ticks_platform import signals


def test_what_a_signal_asks_for_may_need_a_lock_that_the_interrupted_thread_holds() -> None:
    """As the lock of an Event for which it waits."""
    lock, done = threading.Lock(), threading.Event()

    def stop() -> None:
        with lock:
            done.set()

    before = signal.getsignal(signal.SIGUSR1)
    try:
        signals.call_on(stop, signal.SIGUSR1)
        for _ in range(2):
            with lock:
                signal.raise_signal(signal.SIGUSR1)
            assert done.wait(60)
            done.clear()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_what_fails_is_logged_and_asked_for_again_by_the_next_signal(caplog: pytest.LogCaptureFixture) -> None:
    """Else a process would be deaf to SIGTERM for good."""
    times: list[int] = []
    done = threading.Event()

    def stop() -> None:
        times.append(len(times))
        if len(times) == 1:
            raise OSError("the first time")
        done.set()

    before = signal.getsignal(signal.SIGUSR1)
    try:
        signals.call_on(stop, signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        assert done.wait(60)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "the first time" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
