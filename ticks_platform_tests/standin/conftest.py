"""A WebSocket client for the tests of the stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websocket

TIMEOUT_S = 5.0


class Client:
    """What a test says and hears on one connection. ``heard`` keeps each payload received, in order."""

    def __init__(self, url: str, **options: Any) -> None:
        self.socket = websocket.create_connection(url, timeout=TIMEOUT_S, **options)
        self.heard: list[bytes] = []

    def act(self, action: str, symbols: Any = None) -> dict[str, Any]:
        """Send an action; the next event that is not a price."""
        message: dict[str, Any] = {"action": action}
        if symbols is not None:
            message["params"] = {"symbols": symbols}
        return self.say(json.dumps(message))

    def say(self, message: str) -> dict[str, Any]:
        self.socket.send(message)
        while True:
            event = self.hear()
            if event.get("event") != "price":
                return event

    def hear(self) -> dict[str, Any]:
        payload = self.socket.recv()
        self.heard.append(payload.encode() if isinstance(payload, str) else payload)
        return json.loads(payload)

    def hear_prices(self, count: int) -> list[dict[str, Any]]:
        events = [self.hear() for _ in range(count)]
        assert {event["event"] for event in events} <= {"price"}
        return events

    def hear_end(self) -> int | None:
        """Read until the connection ends: the code of the close frame, None if it ended without one."""
        try:
            while True:
                opcode, payload = self.socket.recv_data()
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    return int.from_bytes(payload[:2], "big")
                self.heard.append(payload)
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            return None


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """Opens clients, and closes them when the test ends."""
    clients = []

    def open_client(url: str, **options: Any) -> Client:
        client = Client(url, **options)
        clients.append(client)
        return client

    yield open_client
    for client in clients:
        client.socket.shutdown()
