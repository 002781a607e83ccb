"""Files in a folder or an object store, by fsspec: found by a pattern, and brought to this machine one at a time."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ticks_platform.errors import ActionRequiredError
from ticks_platform.ingestion.imports.options import Source

_PIECE = 8 << 20
"""Bytes that are copied at once."""


class StoredFiles:
    """Where files of days are. A file that is not on this machine is copied to a temporary one while it is imported."""

    def __init__(self, pattern: str, storage_options: Mapping[str, Any]) -> None:
        """`pattern` is a path or URL with the day in it, as `{date:%Y-%m-%d}`, and may have wildcards."""
        self._pattern = pattern
        self._options = dict(storage_options)

    def of_day(self, day: date) -> list[str]:
        """The URLs of a day's files, sorted. Raises ActionRequiredError."""
        system, path = self._system(self._pattern.format(date=day))
        try:
            found = system.glob(path) if any(each in path for each in "*?[") else [path] if system.isfile(path) else []
        except OSError as error:
            raise ActionRequiredError(f"{path} cannot be listed: {error}") from error
        return sorted(map(system.unstrip_protocol, found))

    @contextlib.contextmanager
    def at_hand(self, url: str) -> Iterator[Source]:
        """The file on this machine. Raises ActionRequiredError."""
        system, path = self._system(url)
        if "file" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol):
            yield Source(Path(path), path)
            return
        with tempfile.TemporaryDirectory(prefix="ticks_import_") as folder:
            copy = Path(folder) / Path(path).name
            try:
                with system.open(path, "rb", compression=None) as remote, copy.open("wb") as local:
                    while piece := remote.read(_PIECE):
                        local.write(piece)
            except OSError as error:
                raise ActionRequiredError(f"{url} cannot be copied to {folder}: {error}") from error
            yield Source(copy, url)

    def _system(self, url: str) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise ActionRequiredError(
                "files in folders and object stores are found by fsspec, which is not installed: "
                "pip install 'ticks_platform[files]'"
            ) from None
        try:
            system, path = url_to_fs(url, **self._options)
        except (ImportError, ValueError) as error:
            raise ActionRequiredError(f"{url.partition('://')[0]}:// cannot be read: {error}") from error
        return system, path
