"""The stand-in as a child process, which ends with its parent."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import IO, Any

import msgspec

from ticks_standin.control import RemoteControl
from ticks_standin.errors import StandInError
from ticks_standin.remote import Answer, Command, Result, encode_call
from ticks_standin.settings import StandInSettings

_START_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 5.0


class Greeting(msgspec.Struct):
    """The first line that the stand-in's process prints: where it listens."""

    host: str
    port: int
    urls: dict[str, str]
    http_url: str


def arguments(settings: StandInSettings) -> list[str]:
    """The command line of ``python -m ticks_standin`` that gives these settings."""
    given: list[str] = []
    for name, value in settings.model_dump(exclude_defaults=True).items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            given.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, frozenset):
            given.append(f"--{option}={','.join(sorted(value))}")
        else:
            given.append(f"--{option}={value}")
    return given


class StandInProcess(RemoteControl):
    """Starts ``python -m ticks_standin`` as a child process; ``close`` it, or use it in a ``with`` block.

    The child ends when its standard input does, so it does not outlive its parent, however that ends.

    Raises:
        StandInError: on construction, with what the child printed, if it does not start.
    """

    def __init__(self, settings: StandInSettings | None = None) -> None:
        command = [sys.executable, "-m", "ticks_standin", "--exit-with-stdin"]
        # A file and not a pipe: a pipe that nobody reads would block the child.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._child = subprocess.Popen(
            [*command, *arguments(settings or StandInSettings())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._calls: IO[bytes] = self._child.stdin
        self._writing = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, concurrent.futures.Future[Answer]] = {}
        self._greeting: concurrent.futures.Future[Greeting] = concurrent.futures.Future()
        self._reader = threading.Thread(target=self._read, args=(self._child.stdout,), name="stand-in", daemon=True)
        self._reader.start()
        try:
            self._where = self._greeting.result(_START_TIMEOUT_S)
        except (StandInError, concurrent.futures.TimeoutError) as error:
            self.kill()
            self._errors.seek(0)
            printed = self._errors.read().decode(errors="replace").strip() or "it printed nothing"
            self.close()
            raise StandInError(f"the stand-in's process did not start: {printed}") from error

    def __enter__(self) -> StandInProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _address(self) -> tuple[str, int]:
        return self._where.host, self._where.port

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    def kill(self) -> None:
        """Kill the child at once, as a crash would."""
        self._child.kill()
        self._child.wait()

    def close(self) -> None:
        """End the child, and wait until it has ended."""
        with self._writing, contextlib.suppress(BrokenPipeError):
            self._calls.close()
        try:
            self._child.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join()
        self._errors.close()

    def _read(self, lines: IO[bytes]) -> None:
        with lines:
            first = lines.readline()
            if first:
                self._greeting.set_result(msgspec.json.decode(first, type=Greeting))
            for line in lines:
                answer = msgspec.json.decode(line, type=Answer)
                self._waiting.pop(answer.number).set_result(answer)
        ended = StandInError("the stand-in's process has ended")
        if not first:
            self._greeting.set_exception(ended)
        for waiting in list(self._waiting.values()):
            waiting.set_exception(ended)

    def _call(self, command: Command[Result], arguments: dict[str, Any], timeout_s: float) -> Result:
        number = next(self._numbers)
        answered: concurrent.futures.Future[Answer] = concurrent.futures.Future()
        self._waiting[number] = answered
        try:
            with self._writing:
                self._calls.write(encode_call(number, command, arguments))
                self._calls.flush()
            answer = answered.result(timeout_s)
        except concurrent.futures.TimeoutError as error:
            raise StandInError(f"the stand-in's process did not answer within {timeout_s:g} s") from error
        except (OSError, ValueError) as error:
            raise StandInError("the stand-in's process has ended") from error
        if answer.error is not None:
            raise StandInError(answer.error)
        return command.decode_result(answer.result)
