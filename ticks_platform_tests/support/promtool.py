"""Prometheus' own checks of metrics and rules."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def promtool(*arguments: str | Path, given: bytes = b"") -> str:
    """Run promtool; its output. Raises AssertionError with it where it finds something wrong.

    Without promtool the test is skipped, which .ci/run does not accept: as root it installs it.
    """
    command = shutil.which("promtool")
    if command is None:
        pytest.skip("no promtool: apt-get install prometheus")
    done = subprocess.run([command, *map(str, arguments)], input=given, capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode()
    # `check metrics` warns with exit code 3.
    assert done.returncode == 0, said
    return said
