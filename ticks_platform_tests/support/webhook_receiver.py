"""A webhook server on loopback that keeps the posted texts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "T0000/s3cr3t-word"


class Receiver:
    """`answers` are the next status codes; then 200. `retry_after` is a header of answers that are not 200, `delay` the
    seconds before an answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.texts: list[str] = []
        self.attempts = 0
        self.answers: list[int] = []
        self.retry_after: str | None = None
        self.delay = 0.0


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A running receiver."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.attempts += 1
            status = receiver.answers.pop(0) if receiver.answers else 200
            if status == 200:
                receiver.texts.append(body["text"])
            time.sleep(receiver.delay)
            with suppress(BrokenPipeError, ConnectionResetError):
                self._answer(status)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            if receiver.retry_after is not None and status != 200:
                self.send_header("Retry-After", receiver.retry_after)
            if status in (301, 302):
                self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/services/{SECRET}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
