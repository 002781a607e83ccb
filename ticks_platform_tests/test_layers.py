"""Imports go one way, Dagster stays in its layer, and DDL stays in sql/."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ticks_platform

PACKAGE = Path(ticks_platform.__file__).parent
LAYERS = {
    "feeds": set(),
    "timescale": set(),
    "standin": set(),
    "ingestion": {"feeds", "timescale"},
    "subscribing": {"feeds", "timescale", "standin"},
    "pictures": set(),
    "alerts": set(),
    "defs": {"feeds", "ingestion", "timescale", "standin", "pictures", "alerts"},
}
"""What each layer may import beside itself and what is below all layers."""

BELOW = {"paths", "settings_file"}

DAGSTER = {"defs", "definitions"}
"""The parts that may import Dagster."""

DDL = re.compile(
    r"^\s*(CREATE|ALTER|DROP|TRUNCATE|GRANT|REVOKE|COMMENT\s+ON|REINDEX)\s+[A-Z]"
    r"|\b(create_hypertable|add_\w+_policy|remove_\w+_policy|alter_job|add_dimension)\s*\(",
    re.MULTILINE,
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Dotted name of a module; that of a package ends with `__init__`."""
    return ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts))


def imports(source: str, module: str) -> set[str]:
    """Dotted names of all that a module imports, anywhere in it; of `from a import b` both `a` and `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: -node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
    return found


def forbidden(source: str, module: str) -> set[str]:
    """Imports of a module that its layer must not have."""
    part = module.split(".")[1]
    wrong = set()
    for name in imports(source, module):
        first, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if first == "dagster" or first.startswith("dagster_"):
            if part not in DAGSTER:
                wrong.add(name)
        elif first == PACKAGE.name and part in LAYERS and other not in LAYERS[part] | BELOW | {part, ""}:
            wrong.add(name)
    return wrong


def docstrings(tree: ast.AST) -> set[ast.AST]:
    """String statements: docstrings, and those that explain a name below it."""
    return {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def ddl(source: str) -> Iterator[str]:
    """String literals of a module that define database objects."""
    tree = ast.parse(source)
    prose = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            found = DDL.search(node.value)
            if found:
                yield found.group().strip()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    assert forbidden(path.read_text(encoding="utf-8"), name_of(path)) == set()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_python_holds_no_ddl(path: Path) -> None:
    assert list(ddl(path.read_text(encoding="utf-8"))) == []


def test_every_part_has_its_layer() -> None:
    parts = {path.relative_to(PACKAGE).parts[0] for path in modules() if path.parent != PACKAGE}
    assert parts == set(LAYERS)


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("ticks_platform.feeds.x", "import ticks_platform.timescale.copy", {"ticks_platform.timescale.copy"}),
        ("ticks_platform.feeds.x", "from ticks_platform import ingestion", {"ticks_platform.ingestion"}),
        ("ticks_platform.feeds.x", "from ..defs import assets", {"ticks_platform.defs", "ticks_platform.defs.assets"}),
        ("ticks_platform.timescale.x", "def f():\n    import dagster as dg", {"dagster"}),
        ("ticks_platform.ingestion.x", "if TYPE_CHECKING:\n    import dagster_graphql.x", {"dagster_graphql.x"}),
        ("ticks_platform.standin.x", "from ticks_platform.feeds import events", None),
        ("ticks_platform.feeds.x", "from ticks_platform import definitions", {"ticks_platform.definitions"}),
        ("ticks_platform.timescale.embedded.x", "from ...feeds import events", None),
        ("ticks_platform.timescale.embedded.__init__", "from .. import copy", set()),
        ("ticks_platform.feeds.x", "from ticks_platform.paths import cache_dir", set()),
        ("ticks_platform.defs.x", "import dagster\nfrom ticks_platform.standin import StandIn", set()),
        ("ticks_platform.definitions", "import dagster\nfrom ticks_platform.defs import assets", set()),
        ("ticks_platform.paths", "import dagster", {"dagster"}),
        ("ticks_platform.feeds.x", "from ticks_platform import subscribe", {"ticks_platform.subscribe"}),
        ("ticks_platform.subscribing.x", "import ticks_platform.ingestion.x", {"ticks_platform.ingestion.x"}),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str, wrong: set[str] | None) -> None:
    found = forbidden(source, module)
    assert found == wrong if wrong is not None else found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('run("CREATE TABLE x (a int)")', ["CREATE T"]),
        ('run(f"""\n    DROP VIEW IF EXISTS {name}""")', ["DROP V"]),
        ('run("SELECT add_retention_policy(1)")', ["add_retention_policy("]),
        ('"""Like CREATE TABLE."""\nX = 1\n"""CREATE TABLE x"""', []),
        ('run("SELECT 1")\nlog("cannot CREATE TABLE here")', []),
    ],
)
def test_ddl_is_found(source: str, found: list[str]) -> None:
    assert list(ddl(source)) == found
