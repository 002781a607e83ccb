"""Machines of a deployment with Celery: its Redis, the PostgreSQL of Dagster's history, and its workers."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ticks_platform_tests.support import skips
from ticks_platform_tests.support.dagster_dev import eventually
from ticks_platform_tests.support.ports import free_port


class Programs(NamedTuple):
    """The servers of the distribution's packages."""

    redis: str
    redis_cli: str
    initdb: str
    postgres: str
    createdb: str

    @classmethod
    def find(cls) -> Programs:
        """Where they are. Skips the test that runs where they are missing."""
        # Debian keeps the server's programs by version, and outside of PATH.
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
        names = ("redis-server", "redis-cli", "initdb", "postgres", "createdb")
        found = [shutil.which(name, path=path) for name in names]
        if None in found:
            skips.skip(skips.NO_SERVERS, "apt-get install redis-server postgresql")
        return cls(*filter(None, found))


class Redis:
    """A Redis with the shipped configuration, which can be killed and started again."""

    def __init__(self, programs: Programs, configuration: Path, folder: Path) -> None:
        self._programs = programs
        self._configuration = configuration
        self._folder = folder
        self._port = free_port()
        self.start()

    def start(self) -> None:
        """Start it, with what it has on its disk, and wait until it answers."""
        self._process = subprocess.Popen(
            [self._programs.redis, self._configuration, "--port", str(self._port), "--dir", self._folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        eventually("Redis answers", 30, lambda: self.ask("PING") == ["PONG"])

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def url(self, database: int) -> str:
        """Of one of its databases."""
        return f"redis://127.0.0.1:{self._port}/{database}"

    def ask(self, *command: str, database: int = 0) -> list[str]:
        """The lines of the answer to a command."""
        line = [self._programs.redis_cli, "-p", str(self._port), "-n", str(database), *command]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout.splitlines()


@contextlib.contextmanager
def redis(programs: Programs, configuration: Path) -> Iterator[Redis]:
    """A Redis of this test's own."""
    with tempfile.TemporaryDirectory(prefix="ticks_redis_") as folder:
        running = Redis(programs, configuration, Path(folder))
        try:
            yield running
        finally:
            running.kill()


@contextlib.contextmanager
def postgresql(programs: Programs) -> Iterator[int]:
    """A PostgreSQL of this test's own: its port of loopback. User and database are `dagster`, any password will do."""
    # It refuses to be run by root.
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None and user not in {entry.pw_name for entry in pwd.getpwall()}:
        skips.skip(skips.NO_SERVERS, "root cannot start PostgreSQL, and there is no user postgres")
    folder, port = Path(tempfile.mkdtemp(prefix="ticks_pg_")), free_port()
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"

    def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, user=user, cwd=folder, timeout=60, capture_output=True, **options)  # type: ignore[call-overload,no-any-return]

    run(programs.initdb, "-D", data, "-U", "dagster", "-A", "trust", "--no-sync", check=True)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "max_connections": "200",
    }
    server = subprocess.Popen(
        [programs.postgres, "-D", data, *(f"--{name}={value}" for name, value in settings.items())],
        user=user,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        create = [programs.createdb, "-h", folder, "-p", str(port), "-U", "dagster", "dagster"]
        eventually("PostgreSQL answers", 60, lambda: run(*create, check=False).returncode == 0)
        yield port
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


class Machine:
    """A machine with a worker: it has a Dagster home, journals and a process group of its own."""

    def __init__(
        self,
        deploy: Path,
        folder: Path,
        environment: Mapping[str, str],
        *,
        queue: str,
        runs: int,
        name: str,
        prefix: Sequence[str] = (),
    ) -> None:
        """`prefix` is a command that runs its worker, such as one that gives it a network of its own."""
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(deploy / "dagster.yaml", home)
        self._log = folder / "worker.log"
        # As in an activated environment.
        path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
        whole = {**environment, "PATH": path, "DAGSTER_HOME": str(home), "TICKS_STATE_DIR": str(folder / "state")}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, "sh", deploy / "worker.sh", queue, str(runs), "-n", f"{name}@%h", "--without-mingle"],
                cwd=folder,
                env=whole,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def executes(self, process: int) -> bool:
        """Whether a process is one of this machine's."""
        try:
            return os.getpgid(process) == self.process.pid
        except ProcessLookupError:
            return False

    def worker(self) -> int | None:
        """The process id of its Celery worker, whose child processes execute runs; None while there is none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for child in children.split():
            with contextlib.suppress(FileNotFoundError):
                if b"dagster_celery.app" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    def lose_power(self) -> None:
        """Kill every process of this machine."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def log(self) -> str:
        """What the worker and its runs printed last."""
        return self._log.read_text(errors="replace")[-6000:]
