"""Imports go one way and in no circle, Dagster stays in its layer, DDL stays in sql/, modules stay short."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator
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
    "reading": {"timescale"},
    "ingestion": {"feeds", "timescale"},
    "connectors": {"feeds"},
    "local_feeds": {"feeds", "ticks_standin"},
    "subscribing": {"feeds", "timescale", "local_feeds", "ticks_standin"},
    "testing": {"feeds", "ingestion", "timescale"},
    "diagnosis": {"feeds", "ingestion", "timescale", "local_feeds"},
    "live": {"feeds", "ingestion", "timescale", "embedded_timescale", "monitoring", "pictures"},
    "pictures": set(),
    "monitoring": {"feeds", "ingestion", "timescale", "alerts"},
    "alerts": set(),
    "defs": {
        *("feeds", "ingestion", "timescale", "reading", "local_feeds", "ticks_standin", "pictures", "monitoring"),
        "alerts",
    },
    "component": {"definitions"},
    "celery_launcher": set(),
    "cli": {
        *("feeds", "ingestion", "timescale", "reading", "local_feeds", "diagnosis", "live", "monitoring"),
        *("ticks_standin", "embedded_timescale", "alerts"),
    },
}
"""What each layer of ticks_platform may import beside itself and what is below all layers."""

BELOW = {
    "paths",
    "signals",
    "env_file",
    "settings_file",
    "backoff",
    "proxies",
    "errors",
    "timestamps",
    "intervals",
    "hash_set",
    "masking",
    "escaping",
    "http_date",
    "retry_after",
    "quantities",
}

ABOVE = {"definitions", "standin"}
"""Modules that no layer may import; `standin` is an old name."""

DAGSTER = {"defs", "definitions", "component", "celery_launcher"}
"""The parts that may import Dagster."""

MAX_LEVELS = 6
"""Levels on which the modules of ticks_platform.ingestion import each other."""

MAX_LINES = 400
"""Lines of a module of ticks_platform; a longer one gives the reason in its docstring, after LONG."""

LONG = "One module because "

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


def graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """The modules of a package, each with those that it imports; a package is not imported by naming its module."""
    found = {}
    for module, source in sources.items():
        named = imports(source, module) & {name.removesuffix(".__init__") for name in sources}
        others = {name for name in named if not any(other.startswith(f"{name}.") for other in named)}
        found[module.removesuffix(".__init__")] = others - {module.removesuffix(".__init__")}
    return found


def levels(imported_by: dict[str, set[str]]) -> dict[str, int]:
    """The level of each module: above all modules that it imports, from 1. Raises AssertionError for a circle."""
    found: dict[str, int] = {}

    def visit(module: str, path: tuple[str, ...]) -> int:
        assert module not in path, f"modules import each other in a circle: {' -> '.join((*path, module))}"
        if module not in found:
            found[module] = 1 + max((visit(other, (*path, module)) for other in sorted(imported_by[module])), default=0)
        return found[module]

    for module in imported_by:
        visit(module, ())
    return found


def too_long(source: str) -> bool:
    """Whether a module has more lines than it should, and no reason."""
    reason = LONG in (ast.get_docstring(ast.parse(source)) or "")
    return len(source.splitlines()) > MAX_LINES and not reason


def in_all_modules(look: Callable[[str, str], Collection[str]]) -> dict[str, Collection[str]]:
    """What `look` finds in the source and the name of each module; those where it finds nothing are left out.

    One test for all of them: a test for each module would take longer to start than to run.
    """
    found = {name_of(path): look(path.read_text(encoding="utf-8"), name_of(path)) for path in modules()}
    assert len(found) > 100
    return {module: wrong for module, wrong in found.items() if wrong}


def test_imports_go_one_way() -> None:
    assert in_all_modules(forbidden) == {}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_imports_go_in_no_circle(package: Path) -> None:
    sources = {name_of(path): path.read_text(encoding="utf-8") for path in modules() if path.is_relative_to(package)}
    assert levels(graph(sources))


def test_ingestion_has_few_levels() -> None:
    paths = [path for path in modules() if path.is_relative_to(PACKAGES[0] / "ingestion")]
    found = levels(graph({name_of(path): path.read_text(encoding="utf-8") for path in paths}))
    assert {module: level for module, level in found.items() if level > MAX_LEVELS} == {}
    assert max(found.values()) > 1


def test_modules_are_short() -> None:
    platform = [path for path in modules() if path.is_relative_to(PACKAGES[0])]
    wrong = [name_of(path) for path in platform if too_long(path.read_text(encoding="utf-8"))]
    assert wrong == [], f"over {MAX_LINES} lines, without «{LONG.strip()}» in the docstring"


def test_python_holds_no_ddl() -> None:
    assert in_all_modules(lambda source, _: list(ddl(source))) == {}


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


def test_a_circle_is_found() -> None:
    sources = {
        "p.__init__": "",
        "p.a": "from p import b, c",
        "p.b": "from p.c import X",
        "p.c": "if TYPE_CHECKING:\n    import p.d",
        "p.d": "",
    }
    assert graph(sources)["p.a"] == {"p.b", "p.c"}
    assert levels(graph(sources)) == {"p": 1, "p.a": 4, "p.b": 3, "p.c": 2, "p.d": 1}
    with pytest.raises(AssertionError, match=r"circle: p\.a -> p\.b -> p\.c -> p\.a"):
        levels(graph({**sources, "p.c": "def f():\n    from .a import Y"}))


def test_a_long_module_needs_a_reason() -> None:
    lines = "\n" * MAX_LINES
    assert not too_long(f'"""Short."""{lines}'[:-1])
    assert too_long(f'"""Long."""{lines}x')
    assert not too_long(f'"""Long.\n\nOne module because its parts change together.\n"""{lines}')


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
