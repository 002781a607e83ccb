"""The wheel, in an environment of its own and outside the checkout: from `ticks init` to features of proven hours."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import psycopg2
import pytest
import requests

pytestmark = pytest.mark.full

PATIENCE = 600.0

CHECKED = {"each_hour_is_there_once": "SUCCEEDED", "features_do_not_look_ahead": "SUCCEEDED"}

FEATURES = """{ assetNodeOrError(assetKey: {path: ["hourly_features"]}) { ... on AssetNode {
    assetMaterializations(limit: 1) { metadataEntries { label ... on IntMetadataEntry { intValue } } }
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } } }"""


@pytest.fixture(scope="module")
def wheel(repository_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(repository_root)], check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, and with what it depends on from this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    # As a path, not as a site folder: the editable install of the checkout does not come along.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    subprocess.run(
        [python, "-m", "pip", "install", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True
    )
    (folder / "bin" / "dagster").write_text(
        f"#!{python}\nimport sys\nfrom dagster._cli import main\nsys.exit(main())\n", encoding="utf-8"
    )
    (folder / "bin" / "dagster").chmod(0o755)
    return folder


@pytest.fixture
def variables(environment: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a person who has only the wheel."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TICKS_", "DAGSTER_", "PYTHON"))}
    return {**kept, "PATH": f"{environment / 'bin'}:{kept['PATH']}", "TICKS_STATE_DIR": str(tmp_path / "state")}


def test_it_has_what_lies_beside_the_package(wheel: Path, repository_root: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"ticks_platform/{path.relative_to(repository_root)}" for path in (repository_root / "sql").rglob("*.sql")
    }
    assert wanted <= names
    assert {
        "ticks_standin/README.md",
        "embedded_timescale/bridge/package-lock.json",
        "ticks_platform/py.typed",
    } <= names
    assert any(name.startswith("ticks_platform/grafana/") for name in names)
    assert any(name.startswith("ticks_platform/cli/templates/") for name in names)
    static = repository_root / "ticks_platform" / "live" / "static"
    assert {f"ticks_platform/live/static/{path.name}" for path in static.iterdir()} <= names
    assert "ticks_platform/live/npm/package-lock.json" in names
    assert not any("test" in name.partition("/")[0] for name in names)


def test_from_init_to_features_of_proven_hours(environment: Path, variables: dict[str, str], tmp_path: Path) -> None:
    """Ticks, candles, proven hours, features and their checks, without a click or a wait for a whole hour."""

    def ticks(*arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ticks", *arguments], cwd=cwd, env=variables, capture_output=True, text=True, timeout=120
        )

    where = "import ticks_platform; print(ticks_platform.__file__, ticks_platform.__version__)"
    found = subprocess.run(
        [environment / "bin/python", "-c", where], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert str(environment) in found.stdout, "of the wheel, not of the checkout"
    assert ticks("init", "demo").returncode == 0
    demo = tmp_path / "demo"
    doctor = ticks("doctor", "--port", "0", cwd=demo)
    assert doctor.returncode == 0, doctor.stdout
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    taken = socket.create_server(("127.0.0.1", 0))
    live_port = taken.getsockname()[1]
    command = ["ticks", "dev", "--port", str(port), "--live-port", str(live_port)]
    with closing(taken), (tmp_path / "dev.log").open("wb") as log, running(command, demo, variables, log):
        url = ticks("database", "url", cwd=demo).stdout.strip()
        deadline = time.monotonic() + PATIENCE
        # Four hours of four symbols, from before the project was there.
        while _features(port) != CHECKED or _proven(_hours(url)) < 16:
            said = (tmp_path / "dev.log").read_text(encoding="utf-8")[-5000:]
            assert time.monotonic() < deadline, f"{_features(port)}\n{said}"
            time.sleep(1)
        assert not {"gap", "differs"} & set(_hours(url))
        status = ticks("status", cwd=demo)
        assert re.search(r"stand_in: (streaming|subscribing)", status.stdout), status.stdout
        said = (tmp_path / "dev.log").read_text(encoding="utf-8")
        (page,) = re.findall(r"^live page: (http://127\.0\.0\.1:\d+)$", said, re.MULTILINE)
        assert f"port {live_port} is taken; the live page uses {page.rpartition(':')[2]}" in said
        candles = requests.get(f"{page}/api/candles", params={"symbol": "AAPL", "interval": "1m"}, timeout=30)
        assert candles.ok, candles.text
        assert requests.get(f"{page}/vendor/lightweight-charts.mjs", timeout=120).ok
        assert "Live candles" in requests.get(page, timeout=30).text
    with pytest.raises(requests.ConnectionError):
        requests.get(page, timeout=5)
    assert ticks("database", "stop", cwd=demo).stdout == "stopped\n"


@contextmanager
def running(command: list[str], cwd: Path, env: dict[str, str], log: BinaryIO) -> Iterator[None]:
    """A command in a process group of its own, ended by Ctrl-C as in a terminal."""
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _features(port: int) -> dict[str, str]:
    """How the checks of the newest features ended, once there are features of an hour."""
    try:
        answer = requests.post(f"http://127.0.0.1:{port}/graphql", json={"query": FEATURES}, timeout=60).json()
    except (requests.RequestException, ValueError):
        return {}
    node = answer["data"]["assetNodeOrError"]
    made = node.get("assetMaterializations", [])
    numbers = {entry["label"]: entry.get("intValue") for each in made for entry in each["metadataEntries"]}
    if not numbers.get("hours"):
        return {}
    checks = {each["name"]: each["executionForLatestMaterialization"] for each in node["assetChecksOrError"]["checks"]}
    return {name: found["status"] for name, found in checks.items() if found is not None}


def _proven(hours: dict[str, int]) -> int:
    # Those before midnight are final once the day that ended is trued up.
    return hours.get("proven", 0) + hours.get("final", 0)


def _hours(url: str) -> dict[str, int]:
    """How many hours of symbols there are, by what is proven of them."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT proof, count(*) FROM proven_candle WHERE every = '1h' GROUP BY proof")
        return dict(cursor.fetchall())
