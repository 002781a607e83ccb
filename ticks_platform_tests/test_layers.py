"""Imports go one way, Dagster stays in its layer, and DDL stays in sql/."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import embedded_timescale
import ticks_platform
import ticks_standin

PACKAGES = tuple(Path(package.__file__).parent for package in (ticks_platform, ticks_standin, embedded_timescale))
NAMES = {package.name for package in PACKAGES}
LAYERS = {
    "feeds": set(),
    "timescale": {"embedded_timescale"},
    "ingestion": {"feeds", "timescale"},
    "subscribing": {"feeds", "timescale", "ticks_standin"},
    "pictures": set(),
    "alerts": set(),
    "defs": {"feeds", "ingestion", "timescale", "ticks_standin", "pictures", "alerts"},
}
"""What each layer of ticks_platform may import beside itself and what is below all layers."""

BELOW = {"paths", "settings_file", "backoff", "errors", "timestamps", "intervals"}

ABOVE = {"definitions", "standin"}
"""Modules that no layer may import; `standin` is an old name."""

DAGSTER = {"defs", "definitions"}
"""The parts that may import Dagster."""

DDL = re.compile(
    r"^\s*(CREATE|ALTER|DROP|TRUNCATE|GRANT|REVOKE|COMMENT\s+ON|REINDEX)\s+[A-Z]"
    r"|\b(create_hypertable|add_\w+_policy|remove_\w+_policy|alter_job|add_dimension)\s*\(",
    re.MULTILINE,
)


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def name_of(path: Path) -> str:
    """Dotted name of a module; that of a package ends with `__init__`."""
    package = next(package for package in PACKAGES if path.is_relative_to(package))
    return ".".join((package.name, *path.relative_to(package).with_suffix("").parts))


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
    package, part = module.split(".")[:2]
    wrong = set()
    for name in imports(source, module):
        first, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if first == "dagster" or first.startswith("dagster_"):
            if package != "ticks_platform" or part not in DAGSTER:
                wrong.add(name)
        elif first not in NAMES:
            continue
        elif package != "ticks_platform":
            # Packages of their own: they serve without the platform.
            if first != package:
                wrong.add(name)
        elif part in LAYERS:
            allowed = LAYERS[part] | BELOW | {part, ""}
            if first not in allowed and (first != "ticks_platform" or other not in allowed):
                wrong.add(name)
        elif part in BELOW and other not in BELOW:
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
    platform = PACKAGES[0]
    parts = {path.relative_to(platform).parts[0].removesuffix(".py") for path in platform.rglob("*.py")}
    assert parts == {*LAYERS, *BELOW, *ABOVE, "__init__"}


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("ticks_platform.feeds.x", "import ticks_platform.timescale.copy", {"ticks_platform.timescale.copy"}),
        ("ticks_platform.feeds.x", "from ticks_platform import ingestion", {"ticks_platform.ingestion"}),
        ("ticks_platform.feeds.x", "from ..defs import assets", {"ticks_platform.defs", "ticks_platform.defs.assets"}),
        ("ticks_platform.timescale.x", "def f():\n    import dagster as dg", {"dagster"}),
        ("ticks_platform.ingestion.x", "if TYPE_CHECKING:\n    import dagster_graphql.x", {"dagster_graphql.x"}),
        ("ticks_standin.x", "from ticks_platform.feeds import events", None),
        ("ticks_platform.feeds.x", "from ticks_platform import definitions", {"ticks_platform.definitions"}),
        ("ticks_standin.x", "from ticks_platform import paths", None),
        ("ticks_standin.x", "import embedded_timescale.server", {"embedded_timescale.server"}),
        ("ticks_standin.x", "import dagster", {"dagster"}),
        ("embedded_timescale.x", "from ticks_platform.feeds import events", None),
        ("embedded_timescale.__init__", "from . import control", set()),
        ("ticks_platform.ingestion.x", "import ticks_standin", {"ticks_standin"}),
        ("ticks_platform.timescale.x", "import embedded_timescale.server", set()),
        ("ticks_platform.timescale.policies.x", "from ...feeds import events", None),
        ("ticks_platform.timescale.policies.__init__", "from .. import copy", set()),
        ("ticks_platform.feeds.x", "from ticks_platform.paths import project_root", set()),
        ("ticks_platform.defs.x", "import dagster\nfrom ticks_standin import StandIn", set()),
        ("ticks_platform.paths", "from ticks_platform.feeds import events", None),
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
