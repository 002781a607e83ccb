"""``ticks dev``: `dagster dev` for the project in this folder."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

import embedded_timescale
from ticks_platform.paths import project_root, state_dir


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the web UI.")
@click.option("--port", default=3000, show_default=True, help="Port of the web UI.")
def dev(host: str, port: int) -> None:
    """Run the platform and Dagster's web UI until Ctrl-C.

    What is kept is in the project: Dagster's history in .dagster_home, journals and the embedded database in .ticks.
    """
    root = project_root()
    for name in ("feeds.yaml", "workspace.yaml", "dagster.yaml"):
        if not (root / name).exists():
            raise click.ClickException(f"{root} has no {name}: `ticks init DIR` makes a project")
    environment = {**os.environ, "TICKS_PROJECT_DIR": str(root)}
    if environment.pop("DAGSTER_HOME", None):
        click.echo("DAGSTER_HOME is unset here, so that dagster.yaml of this project is used", err=True)
    if not environment.get("TICKS_DATABASE_URL"):
        try:
            embedded_timescale.ensure_running(state_dir() / "timescaledb")
        except embedded_timescale.EmbeddedError as error:
            raise click.ClickException(str(error)) from error
    dagster = _beside_python("dagster")
    os.chdir(root)
    os.execve(  # noqa: S606  (no shell is needed)
        dagster, [str(dagster), "dev", "--host", host, "--port", str(port)], environment
    )


def _beside_python(name: str) -> Path:
    """A command of the environment that this one runs in, also where that is not activated."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise click.ClickException(f"there is no `{name}` command: pip install dagster dagster-webserver")
    return Path(found)
