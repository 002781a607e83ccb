"""One server per data directory: start it, find it, ask for its status, stop it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import filelock

from embedded_timescale import control
from embedded_timescale.data_directory import DataDirectory
from embedded_timescale.errors import EmbeddedError
from embedded_timescale.install import ensure_engine
from embedded_timescale.node import run_bridge
from embedded_timescale.paths import cache_dir, default_data_dir

DEFAULT_TCP_PORT = 54329
_SOCKET_NAME = ".s.PGSQL.5432"  # the name that libpq expects for its default port
_MAX_SOCKET_PATH_BYTES = 103  # the limit of macOS; that of Linux is 107
_START_SECONDS = 120.0
_LOOK_SECONDS = 0.02
_LOG_BYTES = 1 << 20


@dataclass(frozen=True)
class Status:
    """Status of a data directory's server. All but the first two fields are ``None`` if it is not running."""

    data_dir: Path
    running: bool
    pid: int | None = None
    url: str | None = None
    tcp_url: str | None = None
    """URL with the password, for clients that cannot use a Unix socket; ``None`` unless it listens on TCP."""
    version: str | None = None
    """Version of TimescaleDB. ``None`` while the server executes a statement, like ``clients`` and ``waiting``."""
    clients: int | None = None
    waiting: int | None = None
    """Clients that wait for their turn."""


def ensure_running(data_dir: Path | None = None, *, tcp_port: int | None = None) -> str:
    """URL of the server of ``data_dir``, which is started if it is not running.

    The URL is ``postgresql://postgres@/postgres?host=<socket directory>``: database and user are both ``postgres``.
    With ``tcp_port`` the server also listens on that port, on loopback only; see :attr:`Status.tcp_url`.
    Raises :class:`EmbeddedError`.
    """
    directory = _directory(data_dir)
    socket_path = _listening_at(directory)
    if socket_path is None:
        socket_path = _start_or_join(directory)
    if tcp_port is not None:
        answer = _ask(directory, socket_path, f"tcp:{tcp_port}")
        if "error" in answer:
            raise EmbeddedError(f"The embedded TimescaleDB cannot listen on port {tcp_port}: {answer['error']}.")
        if tcp_port not in (0, answer["tcp_port"]):
            raise EmbeddedError(
                f"The embedded TimescaleDB of {directory.root} already listens on TCP port {answer['tcp_port']}. "
                "Use that port, or stop the server first."
            )
    return _socket_url(socket_path)


def stop(data_dir: Path | None = None, *, timeout_seconds: float = 30.0) -> bool:
    """Stops the server of ``data_dir``: disconnects clients, rolls back open transactions. False if none was running.

    A server that has not ended after ``timeout_seconds`` (a long statement) is killed; no committed row is lost. One
    that is still starting, whose starter was killed, is waited for.
    """
    directory = _directory(data_dir)
    if not directory.server_lock.exists():
        return False
    with _locked_for_start(directory):
        if not _lock_is_held(directory):
            return False
        info = _wait_for_info(directory, time.monotonic() + _START_SECONDS)
        deadline = time.monotonic() + timeout_seconds
        if info is not None:
            with contextlib.suppress(OSError):  # it is ending already, or too busy to answer
                control.request(Path(info["socket"]), "stop", timeout_seconds)
        if not _wait_for_lock(directory, deadline):
            # The lock is held: the process that wrote the file is alive, and the pid is still its own.
            if info is None:
                raise EmbeddedError(
                    f"The server of {directory.root} does not answer, and its process id is unknown. "
                    f"End the process that `fuser {directory.server_lock}` names."
                )
            os.kill(info["pid"], signal.SIGKILL)
            _wait_for_lock(directory, time.monotonic() + 10.0)
        directory.info.unlink(missing_ok=True)
    return True


def status(data_dir: Path | None = None, *, timeout_seconds: float = 5.0) -> Status:
    """Status of the server of ``data_dir``; starts nothing. Raises :class:`EmbeddedError` for a foreign directory."""
    directory = _directory(data_dir)
    directory.check()
    info = _read_info(directory)
    if info is None:
        return Status(directory.root, running=False)
    socket_path = Path(info["socket"])
    try:
        # A control request, not a connection: asking an idle server must not keep it from stopping.
        info |= control.request(socket_path, "status", timeout_seconds)
    except TimeoutError:
        pass  # it executes a statement
    except OSError:
        return Status(directory.root, running=False)
    return Status(
        directory.root,
        running=True,
        pid=info["pid"],
        url=_socket_url(socket_path),
        tcp_url=_tcp_url(directory, info["tcp_port"]),
        version=info.get("version"),
        clients=info.get("clients"),
        waiting=info.get("waiting"),
    )


def _directory(data_dir: Path | None) -> DataDirectory:
    return DataDirectory((data_dir or default_data_dir()).expanduser().resolve())


def _start_or_join(directory: DataDirectory) -> Path:
    directory.check()
    directory.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked_for_start(directory):
        deadline = time.monotonic() + _START_SECONDS
        while _lock_is_held(directory):
            # It was started in the meantime, or a killed process is still starting it, or it is stopping.
            socket_path = _listening_at(directory)
            if socket_path is not None:
                return socket_path
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"The server of {directory.root} is running but does not listen. "
                    f"Stop it: `python -m embedded_timescale stop --data-dir {directory.root}`."
                )
            time.sleep(_LOOK_SECONDS)
        return _start(directory)


def _start(directory: DataDirectory) -> Path:
    socket_path = _socket_path(directory)
    engine = ensure_engine()
    directory.prepare()
    # Of a server that was killed, or ended itself.
    before = _read_info(directory)
    directory.info.unlink(missing_ok=True)
    if directory.log.exists() and directory.log.stat().st_size > _LOG_BYTES:
        directory.log.replace(directory.log.with_suffix(".log.1"))
    with directory.server_lock.open("ab") as lock, directory.log.open("ab") as log:
        # The lock belongs to the open file, which the server inherits: the kernel frees it when the process ends,
        # however it ends, and a reused pid cannot look like a running server.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        options = {
            "engine": str(engine),
            "data": str(directory.cluster),
            "socket": str(socket_path),
            "info": str(directory.info),
            "password": str(directory.password),
            "idle": _seconds_setting("TICKS_EMBEDDED_IDLE_SECONDS", 300),
            "max-wait": _seconds_setting("TICKS_EMBEDDED_WAIT_SECONDS", 120),
            "max-statement": _seconds_setting("TICKS_EMBEDDED_STATEMENT_SECONDS", 300),
        }
        _make_private(socket_path.parent)
        try:
            run_bridge("serve", options, log, keep_fds=[lock.fileno()], timeout_seconds=_START_SECONDS)
        except EmbeddedError:
            shutil.rmtree(socket_path.parent, ignore_errors=True)
            raise
    if before is not None and before.get("tcp_port"):
        # If another program has the port by now, the server is reached by its socket alone, as `status` says.
        with contextlib.suppress(EmbeddedError):
            _ask(directory, socket_path, f"tcp:{before['tcp_port']}")
    return socket_path


def _socket_path(directory: DataDirectory) -> Path:
    name = hashlib.sha256(os.fsencode(directory.root)).hexdigest()[:16]
    path = cache_dir() / "run" / name / _SOCKET_NAME
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
        raise EmbeddedError(
            f"The path of the embedded TimescaleDB's socket is too long for a Unix socket ({path}). "
            "Set TICKS_CACHE_DIR to a folder with a shorter path."
        )
    return path


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise EmbeddedError(f"{folder} belongs to another user. Set TICKS_CACHE_DIR to a folder of your own.")
    folder.chmod(0o700)


@contextlib.contextmanager
def _locked_for_start(directory: DataDirectory) -> Iterator[None]:
    try:
        with filelock.FileLock(directory.start_lock, timeout=2 * _START_SECONDS):
            yield
    except filelock.Timeout as error:
        raise EmbeddedError(
            f"Another process has held {directory.start_lock} for {2 * _START_SECONDS:.0f} s; "
            "it is starting or stopping the server."
        ) from error


def _lock_is_held(directory: DataDirectory) -> bool:
    with directory.server_lock.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _wait_for_lock(directory: DataDirectory, deadline: float) -> bool:
    while _lock_is_held(directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _wait_for_info(directory: DataDirectory, deadline: float) -> dict[str, Any] | None:
    """What the server says of itself once it listens; None if it ended before, or takes longer."""
    while (info := _read_info(directory)) is None and _lock_is_held(directory) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return info


def _listening_at(directory: DataDirectory) -> Path | None:
    info = _read_info(directory)
    if info is None:
        return None
    socket_path = Path(info["socket"])
    return socket_path if control.accepts(socket_path) else None


def _read_info(directory: DataDirectory) -> dict[str, Any] | None:
    try:
        info: dict[str, Any] = json.loads(directory.info.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return info


def _ask(directory: DataDirectory, socket_path: Path, what: str) -> dict[str, Any]:
    try:
        return control.request(socket_path, what, 30.0)
    except OSError as error:
        raise EmbeddedError(
            f"The server of {directory.root} does not answer ({error}). Try again, or stop it."
        ) from error


def _socket_url(socket_path: Path) -> str:
    return f"postgresql://postgres@/postgres?host={quote(str(socket_path.parent), safe='')}"


def _tcp_url(directory: DataDirectory, port: int | None) -> str | None:
    if port is None:
        return None
    password = directory.password.read_text(encoding="utf-8").strip()
    return f"postgresql://postgres:{quote(password, safe='')}@127.0.0.1:{port}/postgres"


def _seconds_setting(name: str, default: int) -> str:
    text = os.environ.get(name, "").strip() or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1_000_000:
        raise EmbeddedError(f"{name} is {text!r}: it must be a number of seconds, 0 for no limit.")
    return str(seconds)
