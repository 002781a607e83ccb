"""Three real NATS servers with JetStream on loopback, each of which can be killed, frozen and started again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from ticks_platform_tests.support.disks import SmallDisk
from ticks_platform_tests.support.ports import free_port

NAMES = ("n1", "n2", "n3")

_CONFIG = """
server_name: {name}
listen: 127.0.0.1:{port}
http: 127.0.0.1:{monitor}
max_payload: {max_payload}
jetstream {{ store_dir: "{folder}", sync_interval: {sync}, max_file_store: 8GB }}
cluster {{ name: test, listen: 127.0.0.1:{route}, routes: [{routes}] }}
{more}
"""

_ALONE = """
server_name: {name}
listen: 127.0.0.1:{port}
http: 127.0.0.1:{monitor}
max_payload: {max_payload}
jetstream {{ store_dir: "{folder}", sync_interval: {sync}, max_file_store: 8GB }}
{more}
"""


class NatsServer:
    """One server, with a folder of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.port, self.route, self.monitor = (free_port() for _ in range(3))
        self.process: subprocess.Popen[bytes] | None = None
        self.disk: SmallDisk | None = None
        """Where its data is, if not in its folder."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """Where its streams are, for itself."""
        return self.folder / "data"

    @property
    def blocks(self) -> list[Path]:
        """The files of its messages."""
        return sorted((self.data if self.disk is None else self.disk.folder).rglob("*.blk"))

    def start(self, config: str) -> None:
        """Start it, or start it again, with its data."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "server.conf"
        file.write_text(config, encoding="utf-8")
        with (self.folder / "log").open("ab") as log:
            command = [_binary(), "-c", str(file)]
            if self.disk is not None:
                command = [*self.disk.command, *command]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it as a loss of power would, but for the pages that the system has."""
        if self.process is not None:
            # One that is frozen is killed too.
            self.process.kill()
            self.process.wait()
            self.process = None

    def end(self) -> None:
        """End it in order: it notes what it has, and does not look again when it starts."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def freeze(self) -> None:
        """Stop it without a word."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def varz(self) -> dict[str, Any]:
        """What its monitoring tells."""
        found: dict[str, Any] = requests.get(f"http://127.0.0.1:{self.monitor}/varz", timeout=5).json()
        return found

    def answers(self) -> bool:
        """Whether it accepts connections."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def is_ready(self) -> bool:
        """Whether its JetStream is in order: it is in touch with a leader, and its streams are current."""
        with contextlib.suppress(OSError):
            return requests.get(f"http://127.0.0.1:{self.monitor}/healthz", timeout=2).status_code == 200
        return False


class NatsServers:
    """A cluster, or a server alone."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] = NAMES,
        *,
        sync: str = "always",
        more: str = "",
        max_payload: str = "8MB",
        disk_megabytes: int | None = None,
    ) -> None:
        self.servers = [NatsServer(name, folder / name) for name in names]
        self._values = {"sync": sync, "more": more, "max_payload": max_payload}
        if disk_megabytes is not None:
            for server in self.servers:
                server.disk = SmallDisk(server.data, megabytes=disk_megabytes)

    @property
    def urls(self) -> list[str]:
        """Their addresses."""
        return [server.url for server in self.servers]

    @property
    def monitors(self) -> list[str]:
        """The addresses of their monitoring."""
        return [f"http://127.0.0.1:{server.monitor}" for server in self.servers]

    def settings(self, **more: Any) -> dict[str, Any]:
        """The settings of a feed's copy here."""
        return {"servers": self.urls, "monitoring": self.monitors, "max_megabytes": 64, **more}

    def start(self, *names: str) -> None:
        """Start these servers, or all, and wait until each is in order."""
        chosen = [server for server in self.servers if not names or server.name in names]
        for server in chosen:
            if server.process is None:
                server.start(self.config(server))
        self.wait(chosen)

    def config(self, server: NatsServer) -> str:
        """The configuration of one of them."""
        routes = ", ".join(f'"nats://127.0.0.1:{each.route}"' for each in self.servers)
        return (_CONFIG if len(self.servers) > 1 else _ALONE).format(
            name=server.name,
            port=server.port,
            monitor=server.monitor,
            route=server.route,
            routes=routes,
            folder=server.data,
            **self._values,
        )

    def wait(self, servers: Sequence[NatsServer] | None = None) -> None:
        """Wait until these, or all, are in order."""
        for server in self.servers if servers is None else servers:
            await_that(server.is_ready, f"{server.name} is ready", say=lambda: _tail(server.folder / "log"))  # noqa: B023

    def server(self, name: str) -> NatsServer:
        """The one of this name."""
        return next(each for each in self.servers if each.name == name)

    def leader(self, stream: str) -> NatsServer:
        """The server that leads a stream, once there is one."""
        found: list[str] = []

        def is_known() -> bool:
            for server in self.servers:
                if server.process is None:
                    continue
                with contextlib.suppress(OSError, KeyError, IndexError, json.JSONDecodeError):
                    answer = requests.get(
                        f"http://127.0.0.1:{server.monitor}/jsz?streams=true&accounts=true", timeout=2
                    ).json()
                    for each in answer["account_details"][0]["stream_detail"]:
                        if each["name"] == stream and each.get("cluster", {}).get("leader"):
                            found.append(each["cluster"]["leader"])
                            return True
            return False

        await_that(is_known, f"a leader of {stream}")
        return self.server(found[-1])

    def stop(self) -> None:
        """End them all, and remove what they have stored."""
        for server in self.servers:
            server.kill()
            if server.disk is not None:
                server.disk.close()
            shutil.rmtree(server.data, ignore_errors=True)


@contextlib.contextmanager
def nats_servers(folder: Path, **options: Any) -> Iterator[NatsServers]:
    """Servers that are in order."""
    servers = NatsServers(folder, **options)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


def await_that(
    condition: Callable[[], object], what: str, *, seconds: float = 60.0, say: Callable[[], object] = lambda: ""
) -> None:
    """Wait until this is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what} {say()}"
        time.sleep(0.02)


def _binary() -> str:
    return str(Path(sys.executable).with_name("nats-server"))


def _tail(file: Path) -> str:
    return file.read_text(errors="replace")[-2000:]
