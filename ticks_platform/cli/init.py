"""``ticks init``: a new project."""

from __future__ import annotations

import importlib.resources
import keyword
import re
import shlex
import sys
from pathlib import Path
from string import Template

import click

from ticks_platform.cli.output import echo
from ticks_platform.cli.project import CommandError
from ticks_platform.paths import shipped

LIVE = {"coinbase": "feeds_coinbase.yaml.template"}
"""Live feeds that need no key, and the feeds.yaml with each."""

_RESERVED = {"ticks_platform", "ticks_standin", "embedded_timescale", "dagster", "test", "tests"}


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--live", type=click.Choice(sorted(LIVE)), help="Begin with this live feed instead of synthetic ticks.")
def init(directory: Path, live: str | None) -> None:
    """Create a project in DIRECTORY: feeds.yaml, policies.yaml, definitions with assets of your own.

    Files that are there already are left as they are, and nothing is written then.
    """
    name = _package_name(directory)
    files = _files(name, live)
    present = [path for path in files if (directory / path).exists()]
    if present:
        raise CommandError(f"{directory} has {', '.join(present)} already; nothing was written")
    for path, text in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    (directory / ".env").chmod(0o600)
    echo(f"{directory}: {len(files)} files, with the package {name}")
    go = "" if directory.resolve() == Path.cwd() else f"cd {shlex.quote(str(directory))} && "
    echo(f"next: {go}ticks dev, then open http://localhost:3000")


def _files(name: str, live: str | None) -> dict[str, str]:
    """Path and text of each file of a new project."""
    return {
        "feeds.yaml": _filled(LIVE[live] if live else "feeds_stand_in.yaml.template", name),
        "policies.yaml": shipped("policies.yaml").read_text(encoding="utf-8"),
        "dagster.yaml": shipped("dagster.yaml").read_text(encoding="utf-8"),
        "workspace.yaml": _filled("workspace.yaml.template", name),
        "dg.toml": _filled("dg.toml.template", name),
        ".env": _filled("env.template", name),
        ".gitignore": _filled("gitignore.template", name),
        "Makefile": _filled("Makefile.template", name),
        f"{name}/__init__.py": "",
        f"{name}/definitions.py": _filled("definitions.py.template", name),
        f"{name}/defs/__init__.py": "",
        f"{name}/defs/latest_closes.py": _filled("latest_closes.py.template", name),
        f"{name}/defs/hourly_features.py": _filled("hourly_features.py.template", name),
    }


def _filled(template: str, name: str) -> str:
    text = (importlib.resources.files("ticks_platform.cli") / "templates" / template).read_text(encoding="utf-8")
    return Template(text).substitute(name=name)


def _package_name(directory: Path) -> str:
    """The name of the project's package: that of the folder, as an identifier that shadows no module."""
    name = re.sub(r"\W+", "_", directory.resolve().name.lower()).strip("_")
    if not name or name[0].isdigit() or keyword.iskeyword(name) or name in _RESERVED | set(sys.stdlib_module_names):
        name = f"project_{name}".rstrip("_")
    return name
