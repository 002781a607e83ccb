"""A code server with a feed's run, told to end as a container is: of compose.yaml and of deploy/kubernetes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ticks_platform.paths import project_root
from ticks_platform_tests.deployment import kubernetes
from ticks_platform_tests.support.dagster_dev import eventually, running_platform
from ticks_platform_tests.support.ports import free_port

pytestmark = pytest.mark.full


@contextlib.contextmanager
def code_server(folder: Path, database_url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The command of the StatefulSet, on loopback."""
    container = kubernetes.code_container()
    command = [{"0.0.0.0": "127.0.0.1", "4000": str(port)}.get(word, word) for word in container["command"]]
    environment = {
        **os.environ,
        "TICKS_PROJECT_DIR": str(folder),
        "TICKS_STATE_DIR": str(folder / ".ticks"),
        "TICKS_DATABASE_URL": database_url,
        "PYTHONPATH": str(project_root()),
    }
    with (folder / "code.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def serves(port: int, service: str) -> bool:
    """What a probe by gRPC asks."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, contextlib.suppress(grpc.RpcError):
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        return answer.status == health_pb2.HealthCheckResponse.SERVING
    return False


def test_its_runs_end_with_it(tmp_path: Path, database_url: str, repository_root: Path) -> None:
    container = kubernetes.code_container()
    port = free_port()
    server = {"host": "127.0.0.1", "port": port, "location_name": "ticks_platform"}
    (tmp_path / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
    for name in ("feeds.yaml", "policies.yaml"):
        (tmp_path / name).write_bytes((repository_root / name).read_bytes())
    with code_server(tmp_path, database_url, port) as process:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            service = container[probe]["grpc"]["service"]
            eventually("the code server serves", 120, lambda service=service: serves(port, service))
        with running_platform(tmp_path, repository_root, database_url) as platform:
            run = eventually("a run streams", 180, platform.streaming_run)
            since = platform.now()
            eventually("a tick arrives", 60, lambda: platform.streams_since(since))
            # As `kill -TERM -1` in a container, and as an init with TINI_KILL_PROCESS_GROUP.
            os.killpg(process.pid, signal.SIGTERM)
            eventually("the run is canceled", 60, lambda: platform.status(run) == "CANCELED")
            process.wait(60)


def test_an_init_or_a_hook_tells_its_runs() -> None:
    of_compose = yaml.safe_load((project_root() / "compose.yaml").read_text(encoding="utf-8"))["services"]["code"]
    assert of_compose["init"] is True
    assert of_compose["environment"]["TINI_KILL_PROCESS_GROUP"] == "1"
    container = kubernetes.code_container()
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sh", "-c", "kill -TERM -1"]
