"""The folders of the platform's files and state."""

from __future__ import annotations

import os
from pathlib import Path


def project_root() -> Path:
    """Folder of ``feeds.yaml`` and ``sql/``: ``TICKS_PROJECT_DIR``, by default the checkout that holds this package."""
    configured = os.environ.get("TICKS_PROJECT_DIR")
    return Path(configured).expanduser().resolve() if configured else Path(__file__).resolve().parents[1]


def state_dir() -> Path:
    """Folder of what must survive a restart, such as the embedded database: ``TICKS_STATE_DIR``, or ``.ticks``."""
    configured = os.environ.get("TICKS_STATE_DIR")
    return Path(configured).expanduser().resolve() if configured else project_root() / ".ticks"
