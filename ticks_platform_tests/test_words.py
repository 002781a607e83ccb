"""Identifiers use the standard terms: modules, classes, functions and columns have no name that one of them replaced.

Settings and texts of providers are not identifiers of ours.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import embedded_timescale
import ticks_platform
import ticks_standin
from ticks_platform.timescale.database import Database

PACKAGES = tuple(Path(package.__file__).parent for package in (ticks_platform, ticks_standin, embedded_timescale))

WORDS = {
    "talk": "session",
    "life": "state",
    "link": "websocket, connection",
    "liveness": "silence",
    "claim": "takeover",
    "slots": "journal_pair",
    "destination": "table",
    "destinations": "tables",
    "catching_up": "late_refresh",
    "lasting": "daemon",
    "obey": "dispatch",
    "obeying": "dispatch",
    "misbehaviour": "faults",
    "threaded": "in_process",
    "reckon": "compute",
    "reckoning": "compute",
    "reckoned": "computed",
    "heed": "handle",
    "farewell": "close_session",
    "take_all": "begin_stop",
}
"""The standard term of each word that no identifier contains."""

MODULES = {
    "snapshot": "journal_view",
    "overlap": "received_twice",
    "wire": "transport",
    "scripts": "sql_files",
    "recent": "chart_query",
}
"""The standard term of each name that no module has; these words are fine elsewhere."""

COLUMNS = {"ticks_platform.feed_hour": {"destination"}}
"""Columns whose names are kept, since queries of users may name them."""

MODULES_OF = {"ticks_platform.feeds": {"connections": "pool"}}
"""The same, for the modules of one package."""


_COLUMNS = """
SELECT attrelid::regclass::text, attname::text
FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace IN ('public'::regnamespace, 'ticks_platform'::regnamespace) AND relkind IN ('r', 'v') AND attnum > 0
UNION ALL
SELECT indrelid::regclass::text, relname::text
FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace IN ('public'::regnamespace, 'ticks_platform'::regnamespace)
"""
"""The columns and the indexes of the platform's tables and views."""


class Named(NamedTuple):
    """A module, class or function."""

    name: str
    place: str
    """Dotted name of the module, and the line of a class or function."""
    is_module: bool


def modules() -> Iterator[tuple[str, Path]]:
    """Dotted names of all modules and packages, with their files."""
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            parts = (package.name, *path.relative_to(package).with_suffix("").parts)
            yield ".".join(parts).removesuffix(".__init__"), path


def identifiers(module: str, source: str) -> Iterator[Named]:
    """The name of a module, and those of all classes and functions in it."""
    yield Named(module.rpartition(".")[2], module, is_module=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield Named(node.name, f"{module}:{node.lineno}", is_module=False)


def words(identifier: str) -> str:
    """The words of an identifier in lower case, as `_of_snake_case_`."""
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", identifier)
    return f"_{separated.strip('_').lower()}_"


def retired(module: str, source: str) -> list[str]:
    """What is wrong with the identifiers of a module, with the standard terms."""
    found = []
    for named in identifiers(module, source):
        terms = [(word, term) for word, term in WORDS.items() if f"_{word}_" in words(named.name)]
        if named.is_module:
            names = dict(MODULES)
            for package, extra in MODULES_OF.items():
                names |= extra if f"{module}.".startswith(f"{package}.") else {}
            terms += [(named.name, names[named.name])] if named.name in names else []
        found += [f"{named.place}: {named.name}: for «{word}» the standard term is: {term}" for word, term in terms]
    return found


def test_columns_and_indexes_use_the_standard_terms(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(_COLUMNS)
        found = cursor.fetchall()
    assert ("ticks_platform.feed_coverage", "computed") in found
    wrong = [
        f"{relation}: {name}: for «{word}» the standard term is: {term}"
        for relation, name in found
        for word, term in WORDS.items()
        if f"_{word}_" in words(name) and name not in COLUMNS.get(relation, ())
    ]
    assert wrong == []


def test_identifiers_use_the_standard_terms() -> None:
    assert [wrong for module, path in modules() for wrong in retired(module, path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("module", "source", "term"),
    [
        ("ticks_platform.feeds.talk", "", "session"),
        ("ticks_platform.feeds.transport.connections", "", "pool"),
        ("ticks_platform.ingestion.x", "class JournalSlots: pass", "journal_pair"),
        ("ticks_platform.ingestion.x", "class LeaseClaimedError(Exception): pass", None),
        ("ticks_platform.feeds.x", "class A:\n    async def _heed_notice(self): pass", "handle"),
        ("ticks_platform.timescale.scripts", "", "sql_files"),
        ("ticks_platform.timescale.x", "def scripts(): pass", None),
        ("ticks_platform.defs.catching_up.__init__", "", "late_refresh"),
        ("ticks_standin.server.connections", "", None),
        ("ticks_standin.wire", "def unlinked(): lifetime = 1", "transport"),
        ("ticks_standin.x", "class TCPLink: pass", "websocket, connection"),
    ],
)
def test_a_retired_word_is_found(module: str, source: str, term: str | None) -> None:
    found = retired(module.removesuffix(".__init__"), source)
    assert [text.rpartition(": ")[2] for text in found] == ([] if term is None else [term])
