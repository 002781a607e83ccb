"""The network between a machine and the database: it can be cut, and it can swallow everything."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from urllib.parse import unquote

import sqlalchemy


class Relay:
    """Forwards connections on loopback to the database. A context manager."""

    def __init__(self, url: str) -> None:
        """`url` is the database's; `self.url` leads to it through here."""
        parsed = sqlalchemy.make_url(url)
        host = parsed.host or unquote(str(parsed.query["host"]))
        port = parsed.port or 5432
        self._target = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        own = parsed.set(host="127.0.0.1", port=self._listener.getsockname()[1], query={"sslmode": "disable"})
        self.url = own.render_as_string(hide_password=False)
        self._flows = threading.Event()
        self._flows.set()
        self._is_cut = False
        self._open: list[socket.socket] = []

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._flows.set()
        self.reset()

    def reset(self) -> None:
        """Reset the connections that are open."""
        for each in self._open[:]:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Nobody gets through within the block."""
        self._is_cut = True
        self.reset()
        try:
            yield
        finally:
            self._is_cut = False

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Nothing that is sent arrives within the block; it arrives afterwards."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self._is_cut:
                return
            family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
            with socket.socket(family) as server:
                server.connect(self._target)
                ends = (client, server)
                self._open += ends
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server)
                back.join()
                for each in ends:
                    self._open.remove(each)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65_536):
                self._flows.wait()
                target.sendall(part)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
