"""Ports of loopback."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port on which nothing listens, for a program that cannot choose one by itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
