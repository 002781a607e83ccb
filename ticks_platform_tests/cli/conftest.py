"""A project as `ticks init` makes it, and the command run in it as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ticks_platform.cli import main
from ticks_platform_tests.support.children import Child

Ticks = Callable[..., subprocess.CompletedProcess[str]]


def command(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    """What a process for `ticks` does; its output goes to files."""
    for number, file in ((1, out), (2, err)):
        with file.open("wb") as output:
            os.dup2(output.fileno(), number)
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = ["ticks", *arguments]
    main.main()


@pytest.fixture
def ticks(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Ticks:
    """Runs `ticks` in a folder, on the tests' database unless another is named.

    Each is a process of its own; it is forked from one that has imported the command, which takes a second.
    """
    monkeypatch.delenv("TICKS_PROJECT_DIR", raising=False)
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TICKS_DATABASE_URL", database_url)

    def run(*arguments: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        out, err = tmp_path / "ticks.out", tmp_path / "ticks.err"
        child = Child(command, arguments, cwd, environment, out, err)
        child.wait(60)
        return subprocess.CompletedProcess(
            ["ticks", *arguments], child.exit_code or 0, out.read_text("utf-8"), err.read_text("utf-8")
        )

    return run


@pytest.fixture
def demo(ticks: Ticks, tmp_path: Path) -> Path:
    """A new project."""
    done = ticks("init", "demo")
    assert done.returncode == 0, done.stderr
    return tmp_path / "demo"
