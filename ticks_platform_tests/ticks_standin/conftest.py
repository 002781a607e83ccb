"""A WebSocket client for the tests of the stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websocket

TIMEOUT_S = 60.0


class Client:
    """What a test says and hears on one connection. ``heard`` keeps each payload received, in order."""

    def __init__(self, url: str, **options: Any) -> None:
        # Its check of UTF-8 is a loop of Python: a slow machine reads a megabyte a second with it.
        self.socket = websocket.create_connection(url, timeout=TIMEOUT_S, skip_utf8_validation=True, **options)
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


class PolygonClient(Client):
    """The same for Polygon's protocol: what is heard is frames of events."""

    def send(self, action: str, params: str) -> None:
        self.socket.send(json.dumps({"action": action, "params": params}))

    def hear_statuses(self) -> list[tuple[str, str]]:
        """Status and message of each status of the next frame that has any."""
        while True:
            frame = self.hear_events()
            statuses = [(event["status"], event["message"]) for event in frame if event["ev"] == "status"]
            if statuses:
                return statuses

    def hear_events(self) -> list[dict[str, Any]]:
        frame: Any = self.hear()
        assert isinstance(frame, list)
        return frame

    def hear_data(self, count: int, *channels: str) -> list[dict[str, Any]]:
        """Read until there are so many events of these channels; statuses and others are left out."""
        events: list[dict[str, Any]] = []
        while len(events) < count:
            events += [event for event in self.hear_events() if event["ev"] in channels]
        assert len(events) == count
        return events

    def enter(self, *channels: str, key: str = "demo") -> PolygonClient:
        """Greeting, authentication, and a subscription."""
        assert self.hear_statuses() == [("connected", "Connected Successfully")]
        self.send("auth", key)
        assert self.hear_statuses() == [("auth_success", "authenticated")]
        if channels:
            self.send("subscribe", ",".join(channels))
            assert self.hear_statuses() == [("success", f"subscribed to: {channel}") for channel in channels]
        return self


@pytest.fixture
def connect_polygon() -> Iterator[Callable[..., PolygonClient]]:
    """Opens clients of Polygon's protocol, and closes them when the test ends."""
    clients = []

    def open_client(url: str, **options: Any) -> PolygonClient:
        client = PolygonClient(url, **options)
        clients.append(client)
        return client

    yield open_client
    for client in clients:
        client.socket.shutdown()


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
