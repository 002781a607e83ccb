"""The chart library, TradingView's lightweight-charts (Apache-2.0): installed with npm, as the engine is."""

from __future__ import annotations

import json
from pathlib import Path

from embedded_timescale import EmbeddedError, npm
from embedded_timescale.paths import cache_dir
from ticks_platform.errors import TicksPlatformError

SOURCE = Path(__file__).parent / "npm"
PACKAGE = "lightweight-charts"
_FILE = "dist/lightweight-charts.standalone.production.mjs"


class LibraryError(TicksPlatformError):
    """The chart library cannot be installed; the message says what to do."""


def version() -> str:
    """Version of the library in the lock file."""
    lock = json.loads((SOURCE / "package-lock.json").read_text(encoding="utf-8"))
    return str(lock["packages"][f"node_modules/{PACKAGE}"]["version"])


def load() -> bytes:
    """The library as a JavaScript module. Installs it if it is missing (3 MB on disk). Raises LibraryError."""
    what = f"live page: installing {PACKAGE} {version()}"
    try:
        folder = npm.ensure_installed(SOURCE, cache_dir() / "live", package=PACKAGE, what=what)
        return (folder / _FILE).read_bytes()
    except (EmbeddedError, OSError) as error:
        raise LibraryError(
            f"{PACKAGE} {version()} could not be installed: {error}\nIt is installed once per user. Check that this "
            "machine reaches its npm registry (`npm ping`), then reload this page"
        ) from error
