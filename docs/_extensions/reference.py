"""Directives for what has its only source elsewhere: columns in SQL files, settings in pydantic models.

``{sql-columns} schema/feed_gap.sql`` is a table of a file's columns, with the comments that stand above them or that
COMMENT ON gives. ``{settings} ticks_platform.feeds.settings.FeedSettings`` is a table of a model's fields, with the
docstrings below them. `sources` reads them.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sources import SQL, columns, introduction, settings
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class _Markdown(SphinxDirective):
    """A directive whose content is Markdown that it writes itself."""

    required_arguments: ClassVar[int] = 1

    def lines(self) -> list[str]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        holder = nodes.container()
        self.state.nested_parse(StringList(self.lines(), source=self.arguments[0]), self.content_offset, holder)
        return holder.children


class SqlColumns(_Markdown):
    """``{sql-columns} schema/feed.sql``"""

    def lines(self) -> list[str]:
        path = SQL / self.arguments[0]
        self.env.note_dependency(str(path))
        text = path.read_text(encoding="utf-8")
        found = columns(text)
        if not found:
            raise self.error(f"{path.name} creates no table, and comments on no column")
        # The types of a view's columns are in its query.
        header: tuple[str, ...] = ("column", "type", "meaning") if found[0].type else ("column", "meaning")
        rows = [(f"`{each.name}`", *(each[1:] if each.type else each[2:])) for each in found]
        return [introduction(text), "", *_table(header, rows)]


class Settings(_Markdown):
    """``{settings} ticks_platform.feeds.settings.FeedSettings``"""

    def lines(self) -> list[str]:
        module, _, name = self.arguments[0].rpartition(".")
        model = getattr(importlib.import_module(module), name)
        rows = [(f"`{each.name}`", *each[1:]) for each in settings(model)]
        return _table(("setting", "type", "default", "meaning"), rows)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(_in_a_cell(cell) for cell in row)} |" for row in rows),
    ]


def _in_a_cell(text: str) -> str:
    """reST's ``code`` is Markdown's `code`, and a bar would end the cell."""
    return text.replace("``", "`").replace("|", "\\|")


def _without_noise(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Leave out what Python makes up for a field of a NamedTuple that has no docstring."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _without_noise)
    app.add_directive("sql-columns", SqlColumns)
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True}
