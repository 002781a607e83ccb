"""Default folders: of the data, and of the engine and the sockets."""

from __future__ import annotations

import os
from pathlib import Path


def default_data_dir() -> Path:
    """The default data directory: ``timescaledb`` in ``TICKS_STATE_DIR``, or else in ``.ticks``.

    ``.ticks`` is in ``TICKS_PROJECT_DIR``, or else in the current folder.
    """
    configured = os.environ.get("TICKS_STATE_DIR")
    if configured:
        return Path(configured).expanduser().resolve() / "timescaledb"
    return Path(os.environ.get("TICKS_PROJECT_DIR") or ".").expanduser().resolve() / ".ticks" / "timescaledb"


def cache_dir() -> Path:
    """Folder of the engine and the sockets, per user: ``TICKS_CACHE_DIR``, or else the XDG cache."""
    configured = os.environ.get("TICKS_CACHE_DIR")
    if configured:
        return Path(configured).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ticks_platform"
