"""What `ticks dev` shows of Dagster's output: plain lines, a failure without its whole stack, a stop without noise."""

from __future__ import annotations

import os
import re
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

_HELD_SECONDS = 0.3
"""Seconds after which lines that may belong to a traceback are shown though no other line has begun."""

_LONGEST = 2_000
"""Characters of a line that are shown."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_DAGSTERS = re.compile(
    r"\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d) [+-]\d{4} - dagster[\w.-]* - (?P<level>[A-Z]+) - (?P<text>.*)"
)
_RUN = re.compile(r"(?:\brun )?(?P<id>[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(?: - \d+)?")
_STACK = re.compile(r"(Stack Trace|Traceback \(most recent call last\)):\s*$")
_CHAINED = re.compile(r"(The above exception was|During handling of the above) ")
_FRAME = re.compile(r"\s+File \".*\", line \d+, in ")
_SAYS_NOTHING = re.compile(
    r"has no partition set, so not trying to catch up|Moving dangling STARTED tick|Dependencies for step \S+ failed"
    r"|resource_tracker: There appear to be"
    r"|Error loading repository location|^\(Background on this error at: "
)
"""Said at each start, of schedules that have nothing to make up for, of steps after one that failed, of a code server
that was killed, and of errors of a database."""

_NO_CODE_SERVER = "DagsterUserCodeUnreachableError"
"""Each sensor fails in this way while there is no code server, which `dev_code_server` tells, and mends."""

_STORAGE = re.compile(r"sqlite3\.OperationalError[:)] (?P<why>.*)")
"""What each of Dagster's services says, a hundred times a minute, while its history cannot be read or written."""

_DISK = re.compile(r"full|I/O error|unable to open|readonly")

_STORAGE_SECONDS = 60.0
"""Seconds until that is said again, in one line."""

_STEPS_REMEMBERED = 20

_BEGINS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|Traceback \(most recent call last\):|feed[= ]")
"""A line that belongs to nothing before it."""

_FAILED = re.compile(r" - (STEP|RUN)_FAILURE - ")
_OF_THE_STOP = re.compile(r"KeyboardInterrupt|InterruptedError|interrupted|SIGINT|SIGTERM|terminated unexpectedly")
"""What a run says because it is being stopped."""


class Condenser:
    """Turns lines into those that are shown: of a failure its message, its causes, and the last frame of each stack.

    Lines of an error are held until another line begins, or until `flush`.
    """

    def __init__(self, url: str = "") -> None:
        """`url` is that of the web UI, which has the whole stack."""
        self.is_stopping = False
        """Whether processes are being stopped: that they are interrupted is no failure then."""
        self._url = url
        self._held: list[str] = []
        self._failed_in: deque[str] = deque(maxlen=_STEPS_REMEMBERED)
        """The runs whose failed steps were shown: the failure of such a run has the same to say."""
        self._storage_said_at = float("-inf")

    def feed(self, line: str) -> Iterator[str]:
        """Take a line; yields what is to be shown now."""
        line = _COLOURS.sub("", line)
        if self._held and _BEGINS.match(line) and not self._continues(line):
            yield from self.flush()
        found = _DAGSTERS.match(line)
        if _SAYS_NOTHING.search(line) and not self._held:
            return
        if self._held or _STACK.match(line) or (found and found["level"] in ("ERROR", "CRITICAL")):
            self._held.append(line)
        elif unusable := _STORAGE.search(line):
            yield from self._of_storage(unusable["why"])
        elif line.strip():
            yield _plain(line)

    def _of_storage(self, why: str) -> Iterator[str]:
        now = time.monotonic()
        if now >= self._storage_said_at + _STORAGE_SECONDS:
            self._storage_said_at = now
            remedy = ". If its disk is full, free space on it" if _DISK.search(why) else ""
            yield (
                f"Dagster cannot use its history in .dagster_home: {why}. Feeds that run continue; nothing is launched "
                f"and no alert is posted until it can{remedy}"
            )

    def _continues(self, line: str) -> bool:
        """Whether a stack belongs to what is held: to an error without one, or to an exception that it has caused."""
        if not _STACK.match(line):
            return False
        last = next((held for held in reversed(self._held) if held.strip()), "")
        return bool(_CHAINED.match(last)) or not any(map(_STACK.match, self._held))

    def flush(self) -> Iterator[str]:
        """What is held."""
        lines, self._held = self._held, []
        is_failure = any(map(_FAILED.search, lines)) and not any(map(_OF_THE_STOP.search, lines))
        if self.is_stopping and not is_failure:
            # Services that lose each other.
            return
        if not is_failure and any(_NO_CODE_SERVER in line for line in lines):
            return
        unusable = next(filter(None, map(_STORAGE.search, lines)), None)
        if unusable and not is_failure:
            yield from self._of_storage(unusable["why"])
            return
        run = _RUN.search(lines[0]) if lines else None
        if run and " - STEP_FAILURE - " in lines[0]:
            self._failed_in.append(run["id"])
        elif run and " - RUN_FAILURE - " in lines[0] and run["id"] in self._failed_in:
            yield _plain(lines[0])
            return
        frame: list[str] = []
        has_stack = False
        for line in lines:
            if _STACK.match(line):
                has_stack = True
            elif has_stack and _FRAME.match(line):
                frame = [line]
            elif frame and line.startswith("    "):
                frame.append(line)
            elif line.strip():
                yield from frame[:2]
                frame = []
                yield _plain(line)
        yield from frame[:2]
        if has_stack and run and self._url:
            yield f"  in full: {self._url}/runs/{run['id']}"


def _plain(line: str) -> str:
    """A line without what is the same in each of Dagster's lines."""
    found = _DAGSTERS.match(line)
    if found is not None:
        text = _RUN.sub(lambda run: f"run {run['id'][:8]}", found["text"].removeprefix("__repository__ - "))
        line = " ".join(part for part in (found["time"], found["level"], text) if part != "INFO")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def follow(source: int, condenser: Condenser, show: Callable[[str], None]) -> threading.Thread:
    """Show what comes from this pipe until its other end is closed, in a thread of its own."""

    def read() -> None:
        rest = b""
        while True:
            if not select.select([source], [], [], _HELD_SECONDS)[0]:
                _show(condenser.flush())
                continue
            received = os.read(source, 1 << 16)
            if not received:
                break
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                _show(condenser.feed(line.decode(errors="replace").rstrip()))
        if rest:
            _show(condenser.feed(rest.decode(errors="replace")))
        _show(condenser.flush())

    def _show(lines: Iterator[str]) -> None:
        for line in lines:
            # A terminal that is closed, a pipe's end that is gone, a disk that is full: who stopped reading here would
            # have Dagster wait for ever with its next line.
            with suppress(OSError, ValueError):
                show(line)

    thread = threading.Thread(target=read, name="dagster-output", daemon=True)
    thread.start()
    return thread
