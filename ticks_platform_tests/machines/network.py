"""A network of a machine's own: a namespace, and a cable to the servers, which can be pulled."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

from ticks_platform.paths import project_root


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


class Network:
    """A namespace in which the servers' ports of loopback are found at the same ports of its own loopback.

    A context manager. Between both lies a pair of virtual network devices with addresses of 10.77.0.0/16.
    """

    def __init__(self, name: str, number: int, ports: Sequence[int]) -> None:
        self.name = name
        self._cable = f"tk{number}"
        self._address = f"10.77.{number}"
        self._ports = [str(port) for port in ports]
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Network:
        with contextlib.ExitStack() as stack:
            _ip("netns", "add", self.name)
            stack.callback(_ip, "netns", "del", self.name)
            _ip("link", "add", f"{self._cable}a", "type", "veth", "peer", "name", f"{self._cable}b", "netns", self.name)
            _ip("addr", "add", f"{self._address}.1/30", "dev", f"{self._cable}a")
            _ip("link", "set", f"{self._cable}a", "up")
            _ip("-n", self.name, "addr", "add", f"{self._address}.2/30", "dev", f"{self._cable}b")
            _ip("-n", self.name, "link", "set", f"{self._cable}b", "up")
            _ip("-n", self.name, "link", "set", "lo", "up")
            stack.enter_context(self._forwarder([], f"{self._address}.1", "127.0.0.1"))
            stack.enter_context(self._forwarder(self.prefix, "127.0.0.1", f"{self._address}.1"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._stack.close()

    @property
    def prefix(self) -> list[str]:
        """Of a command that runs in it."""
        return ["ip", "netns", "exec", self.name]

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Within the block nothing arrives, in either direction, and nobody is told."""
        _ip("link", "set", f"{self._cable}a", "down")
        try:
            yield
        finally:
            _ip("link", "set", f"{self._cable}a", "up")

    @contextlib.contextmanager
    def _forwarder(self, prefix: Sequence[str], listen: str, target: str) -> Iterator[None]:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", f"{__package__}.forwarder", listen, target, *self._ports],
            cwd=project_root(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n", f"nothing forwards from {listen} to {target}"
            yield
        finally:
            process.kill()
            process.wait()
