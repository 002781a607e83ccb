"""Requests to a running server over its socket."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from typing import Any

_PROTOCOL_3_0 = 196608


def accepts(socket_path: Path) -> bool:
    """Whether a server listens at ``socket_path``. Does not wait, even if the server is busy with a long statement."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5.0)
            connection.connect(str(socket_path))
    except OSError:
        return False
    return True


def request(socket_path: Path, what: str, timeout_seconds: float) -> dict[str, Any]:
    """Sends a control request and returns the answer. Raises ``OSError`` if there is no answer in time."""
    parameters = b"".join(text.encode() + b"\0" for text in ("user", "postgres", "_ticks_control", what)) + b"\0"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        connection.connect(str(socket_path))
        connection.sendall(struct.pack("!ii", len(parameters) + 8, _PROTOCOL_3_0) + parameters)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    try:
        answer: dict[str, Any] = json.loads(received)
    except ValueError as error:
        raise ConnectionError("the server ended without an answer") from error
    return answer
