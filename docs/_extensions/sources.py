"""What the reference is made of: columns in SQL files, fields of settings models. Needs no Sphinx."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import annotated_types
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

SQL = Path(__file__).resolve().parents[2] / "sql"

_COMMENT_ON = re.compile(r"^COMMENT ON (TABLE|VIEW|COLUMN) ([\w.]+) IS '((?:[^']|'')*)';", re.MULTILINE)
_TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?[\w.]+ \(\n(.*?)\n\s*\);", re.DOTALL)
_COLUMN = re.compile(r"(?P<name>[a-z_]+)\s+(?P<type>double precision|[a-z]+(?:\[\])?)(?:\s+(?P<rest>.*?))?,?$")
_NOT_A_COLUMN = ("CONSTRAINT", "PRIMARY KEY", "UNIQUE", "CHECK", "FOREIGN KEY")


SAME_EVERYWHERE = {
    "feed": "Feed, as named in feeds.yaml.",
    "provider": "Its provider, as in feeds.yaml.",
    "epoch": "Number of the feed's ownership.",
    "connection": "Number of the connection within that epoch.",
    "owner": "Run that holds the lease, or held it last.",
    "successor": "Run that takes the feed over.",
    "predecessor": "Run that had it before.",
    "predecessor_epoch": "Its epoch.",
    "predecessor_journal": "Its journal.",
    "journal_id": "Identifies the journal's file, wherever it is moved to.",
    "journal_number": "Number of the journal, as in feed_checkpoint.",
    "taken_at": "When the lease was taken.",
    "heartbeat_at": "When the owner was last heard of.",
    "released_at": "When the owner gave it up.",
    "begun_at": "When the successor announced itself.",
    "at": "When.",
    "since": "Since when.",
    "made_at": "When the row was added.",
    "found_at": "When the gap was found.",
    "changed_at": "When the row changed last.",
    "committed_at": "When it moved last.",
    "refreshed_at": "When that refresh began.",
    "begins_at": "Start of the interval.",
    "ends_at": "End of the interval.",
    "opens_at": "When the market opens.",
    "closes_at": "When it closes.",
    "wanted_from": "Since when it is in feeds.yaml.",
    "first_received_at": "Arrival of the first frame.",
    "last_received_at": "Arrival of the last frame.",
    "received_at": "When it reached our socket.",
    "frames": "Frames that arrived.",
    "loaded": "Rows that were loaded.",
    "candle": "The candle: one_hour_candle, or one_day_candle.",
    "state": "State of the connection, as `streaming`.",
    "detail": "In words: why, or the provider's message.",
    "reason": "Why it was rejected.",
    "raw": "Its bytes, or those of its frame.",
    "rows_repaired": "Rows that the repair brought.",
    "pages": "Pages that were fetched.",
    "failures": "Failures in a row.",
    "left_out_positions": "See `left_out`.",
    "gap_id": "Number of the gap.",
    "repair_id": "Number of the range.",
    "request_id": "Number of the request.",
    "bid_price": "Best bid.",
    "ask_price": "Best offer.",
    "open_price": "First price of the window.",
    "high_price": "Highest price of the window.",
    "low_price": "Lowest price of the window.",
    "close_price": "Last price of the window.",
}
"""Columns that mean the same wherever they are, for files that say nothing of them."""


class Column(NamedTuple):
    """A column of a table or view."""

    name: str
    type: str
    """Empty for a view's, which has it from its query."""
    meaning: str


def columns(text: str) -> list[Column]:
    """The columns of the table or view that a SQL file creates, as far as the file names them."""
    comments = {
        name.rpartition(".")[2]: comment.replace("''", "'")
        for kind, name, comment in _COMMENT_ON.findall(text)
        if kind == "COLUMN"
    }
    table = _TABLE.search(text)
    if table is None:
        return [Column(name, "", comment) for name, comment in comments.items()]
    return [
        Column(name, type_, comments.get(name) or above or SAME_EVERYWHERE.get(name, ""))
        for name, type_, above in _columns_of_table(table.group(1))
    ]


def _columns_of_table(body: str) -> Iterator[tuple[str, str, str]]:
    above: list[str] = []
    for line in map(str.strip, body.splitlines()):
        if line.startswith("--"):
            above.append(line.removeprefix("--").strip())
            continue
        found = None if line.startswith(_NOT_A_COLUMN) else _COLUMN.match(line)
        if found:
            rest = found["rest"] or ""
            may_be_null = "NOT NULL" not in rest and "PRIMARY KEY" not in rest
            yield found["name"], found["type"] + (", may be null" if may_be_null else ""), " ".join(above)
        above = []


def introduction(text: str) -> str:
    """The comment that a SQL file begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)


class Setting(NamedTuple):
    """A field of a settings model."""

    name: str
    type: str
    default: str
    meaning: str


def settings(model: type[BaseModel]) -> list[Setting]:
    """The fields of a model, but for the name of a feed, which is the key above its settings."""
    docs = _docstrings_of_fields(model)
    found = []
    for name, field in model.model_fields.items():
        if name == "name" and model.__name__ == "FeedSettings":
            continue
        meaning = field.description or docs.get(name) or _section(field.annotation)
        default = "required" if field.default is PydanticUndefined else _default(field.default)
        found.append(Setting(field.alias or name, _type(field.annotation, field.metadata), default, meaning))
    return found


def _docstrings_of_fields(model: type[BaseModel]) -> dict[str, str]:
    """The strings that stand below the fields of a class."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _section(annotation: Any) -> str:
    """What a model of its own says that it is."""
    models = [part for part in (annotation, *typing.get_args(annotation)) if isinstance(part, type)]
    return next(((model.__doc__ or "").partition("\n")[0] for model in models if issubclass(model, BaseModel)), "")


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "see below"
    if value is None or value in ({}, (), frozenset()):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, frozenset):
        return f"`{', '.join(sorted(value))}`"
    return f"`{value if len(str(value)) < 30 else str(value)[:28] + '…'}`"


def _type(annotation: Any, constraints: list[Any]) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(inner[0], [*constraints, *inner[1:]])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(part, constraints) for part in inner if part is not type(None))
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (tuple, list, frozenset):
        return "list"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "mapping"
    named = {bool: "true or false", int: "whole number", float: "number"}
    limits = [limit for item in constraints for limit in _limits(item)]
    return f"{named.get(annotation, 'text')} {' and '.join(limits)}".strip()


def _limits(constraint: Any) -> Iterator[str]:
    for limit in getattr(constraint, "metadata", [constraint]):
        if isinstance(limit, annotated_types.Gt):
            yield f"> {limit.gt:,}"
        elif isinstance(limit, annotated_types.Ge):
            yield f"≥ {limit.ge:,}"
        elif isinstance(limit, annotated_types.Lt):
            yield f"< {limit.lt:,}"
        elif isinstance(limit, annotated_types.Le):
            yield f"≤ {limit.le:,}"
