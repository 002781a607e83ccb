"""`ticks ingest` as users run it, as a process with a project of its own, and what it takes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.workbench import Workbench

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """A process that runs."""

    pid: int

    def cpu_seconds(self) -> float:
        """User and system time since its start."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def megabytes(self) -> float:
        """Its proportional share of memory (PSS)."""
        return _kilobytes(Path(f"/proc/{self.pid}/smaps_rollup"), "Pss:") / 1024

    def peak_megabytes(self) -> float:
        """The most that was resident (VmHWM), libraries that it shares with others included."""
        return _kilobytes(Path(f"/proc/{self.pid}/status"), "VmHWM:") / 1024


def _kilobytes(file: Path, name: str) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


@contextlib.contextmanager
def ingest(workbench: Workbench, feeds: dict[str, Any], arguments: Sequence[str]) -> Iterator[Process]:
    """Run `python -m` with these arguments in a project with these feeds, and stop it at the end."""
    folder = workbench.journal_file().with_suffix("")
    folder.mkdir()
    (folder / "feeds.yaml").write_text(yaml.safe_dump({"feeds": feeds}), encoding="utf-8")
    environment = {
        **os.environ,
        "TICKS_DATABASE_URL": workbench.url,
        "TICKS_PROJECT_DIR": str(folder),
        "TICKS_BENCH_KEY": "demo",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=folder, env=environment, stderr=log)
        try:
            yield Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)
    if process.returncode:
        raise RuntimeError((folder / "log").read_text(encoding="utf-8")[-2_000:])


def until(what: str, condition: Callable[[], object], seconds: float = 120.0) -> float:
    """Wait for a condition; returns how many seconds that took. Raises RuntimeError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise RuntimeError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began
