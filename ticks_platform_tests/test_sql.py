"""SQL lies in files under sql/. Python names each of them in full, uses all, and keeps only short statements."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticks_platform_tests.test_layers import docstrings, in_all_modules, modules

STATEMENT = re.compile(r"\s*(--[^\n]*\n\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|CALL|COPY|VALUES|SET|DO)\s")
REASON = "# Not in a file: "
"""Begins the comment above a statement that is longer than a line and stays in Python."""

READERS = {"sql_files.read", "sql_files.compose", "sql_files.apply"}
"""The functions of sql_files that take names of files."""

PLACEHOLDER = re.compile(r"%s|%\(\w+\)s|\{\w*\}")

BY_HAND = {"grants/roles.sql", "grants/writer.sql"}
"""What an administrator runs with psql; docs/operations/security.md says when."""

DEFINITIONS = {"schema", "candles", "policies", "grants", "journal"}


def files(root: Path) -> list[Path]:
    return sorted((root / "sql").rglob("*.sql"))


def text_of(node: ast.AST) -> str | None:
    """The text of a string literal; what an f-string fills in is left out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value for part in node.values if isinstance(part, ast.Constant))
    return None


def long_statements(source: str) -> Iterator[str]:
    """SQL statements of a module that span lines, without a reason above them."""
    tree, lines = ast.parse(source), source.splitlines()
    skipped = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.stmt) or hasattr(statement, "body"):
            continue
        reason = lines[statement.lineno - 2].strip() if statement.lineno > 1 else ""
        for node in ast.walk(statement):
            text = text_of(node)
            if text is None or node in skipped or not STATEMENT.match(text) or reason.startswith(REASON):
                continue
            assert isinstance(node, ast.expr)
            if node.end_lineno != node.lineno:
                yield " ".join(text.split())[:60]


def glued_names(source: str) -> Iterator[str]:
    """Names of SQL files that are put together from parts, where nobody who looks for the file's name finds them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in READERS:
            yield from (ast.unparse(each) for each in node.args if isinstance(each, ast.JoinedStr | ast.BinOp))
        elif isinstance(node, ast.Assign | ast.Return | ast.Dict | ast.Tuple):
            for each in ast.walk(node):
                if isinstance(each, ast.JoinedStr) and re.fullmatch(r"[\w/]*\.sql", text_of(each) or ""):
                    yield ast.unparse(each)


def test_long_statements_lie_in_files() -> None:
    assert in_all_modules(lambda source, _: list(long_statements(source))) == {}


def test_names_of_files_are_whole() -> None:
    assert in_all_modules(lambda source, _: list(glued_names(source))) == {}


def test_every_file_is_used_and_every_name_is_a_file(repository_root: Path) -> None:
    python = [path.read_text(encoding="utf-8") for path in modules()]
    named = {name for source in python for name in re.findall(r"[\"']((?:\w+/)+\w+\.sql)[\"']", source)}
    there = {path.relative_to(repository_root / "sql").as_posix() for path in files(repository_root)}
    assert named == there - BY_HAND


def test_definitions_and_queries_lie_apart(repository_root: Path) -> None:
    folders = {path.relative_to(repository_root / "sql").parts[:-1] for path in files(repository_root)}
    assert {folder[0] for folder in folders} == {*DEFINITIONS, "queries"}
    assert all(len(folder) == (2 if folder[0] == "queries" else 1) for folder in folders)
    for path in files(repository_root):
        if path.relative_to(repository_root / "sql").parts[0] == "schema":
            text = path.read_text(encoding="utf-8")
            made = re.findall(
                r"^\s*CREATE (?:OR REPLACE )?(?:TABLE|FUNCTION|PROCEDURE|AGGREGATE|VIEW|SCHEMA|EXTENSION)\b", text, re.M
            )
            assert len(made) == 1, f"{path.name} defines {len(made)} objects"


def test_no_comment_holds_a_placeholder(repository_root: Path) -> None:
    """What is filled in there could end the comment: psycopg2 fills in comments too."""
    found = [
        f"{path.name}: {line}"
        for path in files(repository_root)
        for line in path.read_text(encoding="utf-8").splitlines()
        if PLACEHOLDER.search(line.partition("--")[2])
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('run("SELECT 1")', []),
        ('run(\n    """\n    SELECT 1\n    """\n)', ["SELECT 1"]),
        ('run(\n    "UPDATE x SET a = 1 "\n    "WHERE b = 2"\n)', ["UPDATE x SET a = 1 WHERE b = 2"]),
        ('run(\n    f"DELETE FROM {x} "\n    "WHERE b = 2"\n)', ["DELETE FROM WHERE b = 2"]),
        ('# Not in a file: it is made up.\nrun("""SELECT\n1""")', []),
        ('"""SELECT is explained\nhere."""\nX = 1', []),
        ('def f():\n    """SELECT\n    x."""\n    return """WITH x AS\n (SELECT 1)"""', ["WITH x AS (SELECT 1)"]),
        ('log("With a word\\n" "and more")', []),
    ],
)
def test_a_long_statement_is_found(source: str, found: list[str]) -> None:
    assert list(long_statements(source)) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('sql_files.read("queries/a/b.sql")', []),
        ('sql_files.read(f"queries/{a}.sql")', ["f'queries/{a}.sql'"]),
        ('sql_files.compose("queries/" + a)', ["'queries/' + a"]),
        ('file = f"{a}.sql"', ["f'{a}.sql'"]),
        ('log(f"see {file}")', []),
    ],
)
def test_a_glued_name_is_found(source: str, found: list[str]) -> None:
    assert list(glued_names(source)) == found
