"""A project as `ticks init` makes it, and the command run in it as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Ticks = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ticks(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Ticks:
    """Runs `ticks` in a folder, on the tests' database unless another is named."""
    monkeypatch.delenv("TICKS_PROJECT_DIR", raising=False)
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TICKS_DATABASE_URL", database_url)

    def run(*arguments: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ticks_platform.cli.main", *arguments],
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def demo(ticks: Ticks, tmp_path: Path) -> Path:
    """A new project."""
    done = ticks("init", "demo")
    assert done.returncode == 0, done.stderr
    return tmp_path / "demo"
