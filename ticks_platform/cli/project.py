"""The project that a command works on, and what keeps a command from working."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dotenv.parser import parse_stream

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
    """Set the variables of the project's .env that the environment does not have.

    Raises CommandError for a line that is none: a database or a key would silently be another one.
    """
    root = project_root()
    path = root / ".env"
    # A connector that feeds.yaml names by its dotted name may lie in the project.
    sys.path.insert(0, str(root))
    if not path.is_file():
        return
    try:
        with path.open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from None
    for binding in bindings:
        # Neither is quoted: it may be a key.
        if binding.error or (binding.key and binding.value is None):
            raise CommandError(f"{path}, line {binding.original.line}: not of the form NAME=value")
        if binding.key and binding.value is not None:
            os.environ.setdefault(binding.key, binding.value)
