"""A connection through an HTTP proxy: websocket-client reads a proxy's answer without a limit, and without an end."""

from __future__ import annotations

import base64
import socket
import ssl
from urllib.parse import urlsplit

import websocket

from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.feeds.transport.limits import MAX_PROXY_ANSWER_BYTES
from ticks_platform.proxies import Proxy

_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))


def open_tunnel(url: str, proxy: Proxy, *, timeout: float, options: list[tuple[int, int, int]]) -> socket.socket:
    """A socket to the host of a ws or wss URL, with TLS for the latter. `options` are the socket's.

    Raises WebSocketProxyException if the proxy refuses, or answers with something else; OSError; and `timeout` is for
    all of it together.
    """
    parts = urlsplit(url)
    is_secure = parts.scheme == "wss"
    host, port = parts.hostname or "", parts.port or (443 if is_secure else 80)
    deadline = boottime() + timeout
    tunnel = socket.create_connection((proxy.host, proxy.port), timeout)
    try:
        for option in (*_OPTIONS, *options):
            tunnel.setsockopt(*option)
        tunnel.sendall(_request(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", proxy))
        _check(_head(tunnel, deadline))
        tunnel.settimeout(_left(deadline))
        return ssl.create_default_context().wrap_socket(tunnel, server_hostname=host) if is_secure else tunnel
    except BaseException:
        tunnel.close()
        raise


def _request(target: str, proxy: Proxy) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.credentials is not None:
        user, password = proxy.credentials
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()


def _head(tunnel: socket.socket, deadline: float) -> bytes:
    """The head of the proxy's answer: byte by byte, since what follows is the server's."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        tunnel.settimeout(_left(deadline))
        part = tunnel.recv(1)
        if not part:
            raise websocket.WebSocketProxyException("the proxy closed the connection without an answer")
        head += part
        if len(head) > MAX_PROXY_ANSWER_BYTES:
            raise websocket.WebSocketProxyException(
                f"the proxy's answer to CONNECT is larger than {MAX_PROXY_ANSWER_BYTES:,} bytes"
            )
    return bytes(head)


def _check(head: bytes) -> None:
    first = head.partition(b"\r\n")[0]
    try:
        status = int(first.split()[1])
    except (IndexError, ValueError):
        reason = f"the proxy's answer to CONNECT is no HTTP: {first[:80]!r}"
        raise websocket.WebSocketProxyException(reason) from None
    if status != 200:
        raise websocket.WebSocketProxyException(f"failed CONNECT via proxy status: {status}")


def _left(deadline: float) -> float:
    left = deadline - boottime()
    if left <= 0:
        raise TimeoutError("the proxy did not answer in time")
    return left
