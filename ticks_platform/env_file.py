"""The .env of the project: settings and keys, read again where they are used, so that a corrected key needs no restart.

The environment goes first. Which of its variables came from .env is noted in it, for the processes that inherit it:
those follow the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from dotenv.parser import parse_stream

from ticks_platform.errors import ActionRequiredError
from ticks_platform.paths import project_root

FROM_FILE = "TICKS_FROM_ENV_FILE"
"""Names of the variables that came from .env, with commas between them."""


class EnvFileError(ActionRequiredError):
    """The .env cannot be read; the message says which line, and quotes none of it."""


def path() -> Path:
    """The file, which may be missing."""
    return project_root() / ".env"


def read() -> dict[str, str]:
    """What the file says; nothing if there is none.

    Raises EnvFileError for a line that is no setting: a database or a key would silently be another one.
    """
    file = path()
    if not file.is_file():
        return {}
    try:
        with file.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(f"{file} cannot be read: {error}") from None
    found = {}
    for binding in bindings:
        # Neither is quoted: it may be a key.
        if binding.error or (binding.key and binding.value is None):
            raise EnvFileError(f"{file}, line {binding.original.line}: not of the form NAME=value")
        if binding.key and binding.value is not None:
            found[binding.key] = binding.value
    return found


def load() -> None:
    """Set the variables of the file that the environment does not have. Raises EnvFileError."""
    noted = _noted()
    for name, value in read().items():
        # Dagster reads the file too, of the folder that it is started in.
        if os.environ.setdefault(name, value) == value:
            noted.add(name)
    if noted:
        os.environ[FROM_FILE] = ",".join(sorted(noted))


def current(name: str) -> str:
    """A variable's value as the file has it now, if the environment has it from there or not at all; else its own.

    Empty if neither has it. Raises EnvFileError.
    """
    if name not in os.environ or name in _noted():
        value = read().get(name)
        if value is not None and value != os.environ.get(name):
            # Also for what masks secrets, which looks there.
            os.environ[name] = value
            os.environ[FROM_FILE] = ",".join(sorted({*_noted(), name}))
    return os.environ.get(name, "").strip()


def _noted() -> set[str]:
    return set(filter(None, os.environ.get(FROM_FILE, "").split(",")))
