"""What `make` shows while it sets up: a line a step, a sign of life, and a failure's own words."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".make" / "step.sh"


def start(folder: Path, command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", str(SCRIPT), str(folder / "log"), "packages: of this test", "sh", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_step_that_succeeds_is_one_line_whatever_it_prints(tmp_path: Path) -> None:
    out, _ = start(tmp_path, "for n in 1 2 3; do echo WARNING: noise $n; echo more >&2; done").communicate(timeout=60)
    assert out.startswith("packages: of this test ... ")
    assert out.endswith(" s\n")
    assert len(out.splitlines()) == 1
    assert "noise" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_step_that_fails_shows_why_and_fails(tmp_path: Path) -> None:
    process = start(tmp_path, "echo noise; echo ERROR: no such package >&2; exit 7")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "ERROR: no such package" in out
    assert str(tmp_path / "log") in out


def test_a_step_that_is_stopped_stops_what_it_runs(tmp_path: Path) -> None:
    process = start(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 600")
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text(encoding="utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = Path("/proc") / (tmp_path / "pid").read_text(encoding="utf-8").strip()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    while child.exists():
        assert time.monotonic() < deadline, "it runs on"
        time.sleep(0.05)


@pytest.mark.full
def test_a_step_that_lasts_says_so_every_ten_seconds(tmp_path: Path) -> None:
    process = start(tmp_path, "echo '  Collecting dagster'; echo Collecting psycopg2; sleep 13")
    out, _ = process.communicate(timeout=120)
    assert "s, 2 packages found ... " in out
    assert len(out.splitlines()) == 1
