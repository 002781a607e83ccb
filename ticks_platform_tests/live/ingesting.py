"""A project whose feed streams into an embedded database of its own, and the page in front of it, as processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

import embedded_timescale
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.platform_database import FILES

PATIENCE = 60.0


class Ingesting:
    """What runs, each of which can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TICKS_", "DAGSTER"))},
            "TICKS_STATE_DIR": str(self.state),
            "TICKS_EMBEDDED_IDLE_SECONDS": "60",
        }
        self._log = (folder / "log").open("wb")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        subprocess.run(self._command("init", "demo"), cwd=folder, env=self.environment, check=True, capture_output=True)
        with Database(embedded_timescale.ensure_running(self.state / "timescaledb")).transaction() as cursor:
            sql_files.apply(cursor, *FILES)
        self.start_feed()
        self.start_page()

    def start_feed(self) -> None:
        """Start `ticks ingest`, or start it again after it was killed: the lease of that one has not run out."""
        self._start("feed", "ingest", "stand_in", "--take-over")

    def start_page(self, port: int = 0) -> None:
        """Start `ticks live`; it says where."""
        log = self.folder / "page.log"
        log.unlink(missing_ok=True)
        self._start("page", "live", "--port", str(port), log=log)
        deadline = time.monotonic() + PATIENCE
        while "live page: " not in (said := log.read_text(encoding="utf-8")) or not said.endswith("\n"):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        self.url = said.split("live page: ")[1].split()[0]

    def kill(self, what: str) -> None:
        """Kill the feed's run, the page or the database."""
        if what == "database":
            pid = embedded_timescale.status(self.state / "timescaledb").pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        else:
            self._processes[what].kill()
            self._processes[what].wait()

    def process(self, what: str) -> int:
        """The process id of the feed's run or the page."""
        return self._processes[what].pid

    def until(self, what: str, look: Callable[[dict[str, object]], object]) -> None:
        """Wait until the page's status is as wanted."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(requests.RequestException):
                status = requests.get(f"{self.url}/api/status", timeout=5).json()
                if look(status):
                    return
            assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
            time.sleep(0.1)

    def close(self) -> None:
        """End all of it."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()
            process.wait()
        embedded_timescale.stop(self.state / "timescaledb")
        self._log.close()

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ticks_platform.cli.main", *arguments]

    def _start(self, what: str, *arguments: str, log: Path | None = None) -> None:
        path = os.pathsep.join([str(Path(__file__).parents[2]), self.environment.get("PYTHONPATH", "")])
        with (log or self.folder / f"{what}.log").open("ab") as output:
            self._processes[what] = subprocess.Popen(
                self._command(*arguments),
                cwd=self.folder / "demo",
                env={**self.environment, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )


@contextmanager
def ingesting() -> Iterator[Ingesting]:
    """A new project, in a folder whose path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="ticks-live-"))
    found = None
    try:
        found = Ingesting(folder)
        yield found
    finally:
        if found is not None:
            found.close()
        shutil.rmtree(folder, ignore_errors=True)
