"""The reference is complete: what there is stands in it."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import click
import pytest
import yaml

import embedded_timescale
import ticks_platform
import ticks_standin
from ticks_platform import connectors, testing
from ticks_platform.cli.main import ticks
from ticks_platform.defs.checks.table import CHECKS
from ticks_platform.ingestion.metrics import FeedCollector, Gauges, Metrics
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.docs.pages import ROOT

_COLUMNS = """
SELECT table_schema, table_name, array_agg(column_name::text)
FROM information_schema.columns
WHERE table_schema IN ('public', 'ticks_platform') AND table_name NOT LIKE 'pg\\_%'
GROUP BY table_schema, table_name
"""

_FUNCTIONS = "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'ticks_platform'::regnamespace"


def text(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sources() -> ModuleType:
    """What makes the tables of the reference. It lies beside the pages, in no package."""
    spec = importlib.util.spec_from_file_location("sources", ROOT / "docs" / "_extensions" / "sources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_column_is_explained(database: Database, sources: ModuleType) -> None:
    pages = text("reference/sql.md") + text("reference/sql-machinery.md")
    explained = {}
    for file in re.findall(r"\{sql-columns\} (\S+)", pages):
        found = sources.columns((sources.SQL / file).read_text(encoding="utf-8"))
        assert all(column.meaning for column in found), f"{file}: a column without a comment"
        explained[file.rpartition("/")[2].removesuffix(".sql")] = {column.name for column in found}
    # In words, since these are those of the candle or of the bar.
    explained["one_minute_candle_filled"] |= {"symbol", "open", "high", "low", "close"}
    with database.transaction() as cursor:
        cursor.execute(_COLUMNS)
        there = {table: set(columns) for _, table, columns in cursor.fetchall()}
    assert explained == there


def test_every_function_is_named(database: Database) -> None:
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.CANDLE_REASONS, *sql_files.RETENTION, *sql_files.NOTES)
        cursor.execute(_FUNCTIONS)
        functions = {row[0] for row in cursor.fetchall()}
        cursor.connection.rollback()
    assert functions == set(
        re.findall(r"`ticks_platform\.(\w+)[(`]", text("reference/sql.md").partition("## Functions")[2])
    )


def test_every_variable_is_listed() -> None:
    listed = set(re.findall(r"`(TICKS_[A-Z_]+)`", text("reference/environment.md")))
    used: set[str] = set()
    for package in (ticks_platform, ticks_standin, embedded_timescale):
        folder = ROOT / package.__name__
        for file in folder.rglob("*.py"):
            used.update(re.findall(r"[\"'](TICKS_[A-Z_]*[A-Z])[\"']", file.read_text(encoding="utf-8")))
    assert used <= listed


def test_every_metric_is_listed() -> None:
    """Those of a run; test_exporter.py has the others."""
    metrics = Metrics()
    metrics.last_event_at = 1
    collector = FeedCollector("stocks", metrics, lambda: Gauges(0, connected=False))
    names = {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in collector.collect()}
    listed = set(re.findall(r"^\| `(ticks_\w+)`", text("operations/monitoring.md"), re.MULTILINE))
    assert names <= listed


def test_every_check_is_listed() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", text("checks.md"), re.MULTILINE))
    assert {check.name for check in CHECKS} <= listed


def test_the_defaults_of_policies_are_those_that_are_shipped() -> None:
    shipped = yaml.safe_load((ROOT / "policies.yaml").read_text(encoding="utf-8"))
    page = text("reference/policies.md")
    for section in ("refresh", "columnstore"):
        for table, terms in shipped[section].items():
            row = re.search(rf"^\| `{table}` \| (.*) \|$", page.partition(f"## {section.title()}")[2], re.MULTILINE)
            assert row is not None, table
            assert row[1].split(" | ") == list(terms.values())
    notes = shipped["retention"].pop("feed_notes")
    assert set(shipped["retention"].values()) == {False}, "the page says that retention is off"
    section = page.partition("## Notes about feeds")[2]
    for kind, age in notes.items():
        assert f"| `{kind}` | {age} |" in section


@pytest.mark.parametrize("name", ticks.list_commands(click.Context(ticks)))
def test_every_command_and_option_is_listed(name: str) -> None:
    command = ticks.get_command(click.Context(ticks), name)
    assert command is not None
    (section,) = re.findall(
        rf"^## ticks {name}$(.*?)(?=^## )", text("reference/command-line.md"), re.MULTILINE | re.DOTALL
    )
    listed = set(re.findall(r"--[a-z][a-z-]*", section))
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    options = {
        max(option.opts, key=len)
        for each in commands
        for option in each.params
        if isinstance(option, click.Option) and not option.hidden
    }
    assert options - {"--help"} == listed
    if isinstance(command, click.Group):
        assert all(f"`ticks {name} {each}" in section for each in command.commands)


@pytest.mark.parametrize("package", [ticks_platform, connectors, testing, ticks_standin, embedded_timescale])
def test_everything_public_is_on_a_page(package: ModuleType) -> None:
    page = text(f"api/{package.__name__.rpartition('.')[2]}.md")
    missing = [name for name in package.__all__ if not re.search(rf"\b{name}\b", page)]
    assert not missing, "add a directive for each"
