"""An HTTP proxy on loopback that opens tunnels, or refuses to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Tunnels:
    """What a proxy was asked for."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = f"{address[0]}:{address[1]}"
        self.asked: list[str] = []
        """The first line of each request."""


@contextlib.contextmanager
def running_proxy(leads_to: tuple[str, int] | None = None, status: str = "200 OK") -> Iterator[Tunnels]:
    """A proxy that answers each request with `status`, and forwards to `leads_to` if that is 200."""
    listener = socket.create_server(("127.0.0.1", 0))
    tunnels = Tunnels(listener.getsockname())
    open_: list[socket.socket] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                target.sendall(part)
            target.shutdown(socket.SHUT_RDWR)

    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                part = client.recv(4096)
                if not part:
                    return
                head += part
            tunnels.asked.append(head.partition(b"\r\n")[0].decode())
            length = "" if leads_to else "Content-Length: 0\r\n"
            client.sendall(f"HTTP/1.1 {status}\r\n{length}\r\n".encode())
            if leads_to is not None:
                with socket.create_connection(leads_to) as server:
                    open_.append(server)
                    threading.Thread(target=pump, args=(server, client), daemon=True).start()
                    pump(client, server)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                open_.append(client)
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield tunnels
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for each in open_:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
