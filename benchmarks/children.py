"""Child processes of the benchmark: sender, ingestion and peers have an interpreter each."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

_TIMEOUT = 300.0


class Child:
    """Communicates with a child process over a pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def send(self, message: Any) -> None:
        """Send a message to the child."""
        self._pipe.send(message)

    def answer(self, *, within: float = _TIMEOUT) -> Any:
        """Return the child's next message. Raises RuntimeError with the child's traceback, or after some seconds."""
        if not self._pipe.poll(within):
            raise RuntimeError(f"a process of the benchmark did not answer within {within:g} s")
        answer = self._pipe.recv()
        if isinstance(answer, _Failure):
            raise RuntimeError(f"a process of the benchmark failed:\n{answer.text}")  # noqa: TRY004
        return answer


class _Failure:
    def __init__(self, text: str) -> None:
        self.text = text


@contextlib.contextmanager
def child(work: Callable[..., None], *arguments: Any) -> Iterator[Child]:
    """Run `work(pipe, *arguments)` in a new process, which is killed at the end of the block if it is still running."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(work, theirs, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Child(ours)
    finally:
        ours.close()
        process.join(10.0)
        if process.is_alive():
            process.kill()
            process.join()


def _run(work: Callable[..., None], pipe: Connection, arguments: tuple[Any, ...]) -> None:
    logging.basicConfig(level=logging.ERROR)
    try:
        work(pipe, *arguments)
    except BaseException:  # noqa: BLE001  (sent to the parent)
        with contextlib.suppress(OSError):
            pipe.send(_Failure(traceback.format_exc()))
