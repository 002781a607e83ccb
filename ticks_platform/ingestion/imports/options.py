"""What is to be imported, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ticks_platform.feeds.files import Kind
from ticks_platform.ingestion.metrics import Metrics


class Options(NamedTuple):
    """What files are."""

    format: str
    columns: Mapping[str, str] = {}
    """The column of a field, where a file of `csv` names it in another way."""
    times: str = "iso"
    synthetic: bool = False
    """Whether the ticks are made up."""
    kind: Kind | None = None
    """What the rows are; of csv and parquet, trades if it is not given. The columns of a flat file tell."""


class Source(NamedTuple):
    """A file to import."""

    path: Path
    """Where it is on this machine."""
    name: str
    """What it is called, for people: its path, or where it came from."""


class Progress(NamedTuple):
    """How far a file is."""

    file: Path
    bytes_read: int
    bytes: int
    metrics: Metrics


class Imported(NamedTuple):
    """What became of a file."""

    file: Path
    metrics: Metrics
    is_complete: bool
    """Whether it is loaded to its end."""
    was_known: bool
    """Whether it was, before."""
    journal_id: str
    """What the database knows it by."""
