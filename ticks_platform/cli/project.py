"""The project that a command works on, and what keeps a command from working."""

from __future__ import annotations

import sys
from pathlib import Path

from ticks_platform import env_file
from ticks_platform.errors import TicksPlatformError
from ticks_platform.paths import project_root


class CommandError(TicksPlatformError):
    """A command cannot do what it is asked for; the message says why, and what to do."""


def project() -> Path:
    """The folder of the project. Raises CommandError where there is none."""
    root = project_root()
    if not (root / "feeds.yaml").is_file():
        raise CommandError(f"{root} has no feeds.yaml: `ticks init DIR` creates a project, and commands work inside it")
    return root


def read_env_file() -> None:
    """Set the variables of the project's .env that the environment does not have. Raises EnvFileError."""
    # A connector that feeds.yaml names by its dotted name may lie in the project.
    sys.path.insert(0, str(project_root()))
    env_file.load()
