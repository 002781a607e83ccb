"""A connection to one of the servers, for threads that wait for each answer.

nats-py speaks the protocol, in an event loop in a thread of its own. It costs 0.7 ms of CPU a message where a socket of
our own would take 0.1; but groups are published together, some tens of messages a second at most, and TLS, sign-in and
keep-alive are those of a client that others keep. It does not reconnect: a lost connection is an error, and the next
one may go to another server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, NamedTuple, TypeVar

import nats
import nats.errors
from nats.aio.client import Client

from ticks_platform import env_file
from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.feeds.transport.clock import boottime

T = TypeVar("T")

CONNECT_TIMEOUT = 3.0
"""Seconds for a connection to one server."""

ANSWER_TIMEOUT = 5.0
"""Seconds for an answer. One that a leader owed when it was killed never comes."""

MISSES, MISSING_FOR = 20, 12.0
"""How often, and for how many seconds, something must be missing before it is lost: after a start, replicas that do not
lead leave the answers to the one that does for a few seconds."""

_PING_INTERVAL = 5
"""Seconds between looks whether a silent server is still there; a second one without an answer ends it."""

_POLL = 0.1
"""Seconds between looks whether the wait for an answer is to end."""

_READ_BYTES = 4 << 20
"""Bytes of messages that are requested at a time, beside one that may be as large as the server takes any."""

_NO_SUITABLE_PEERS = 10005
_STORAGE_EXCEEDED = (10047, 10028, 10023)

_UNAUTHORIZED = ("authorization", "authentication")
_FORBIDDEN = "permissions"


class CopyError(RetryableError):
    """The servers cannot be used now: no connection, no answer, no leader, no room. It is tried again."""


class CopyFullError(CopyError):
    """The stream has reached its limit."""


class CopyRefusedError(ActionRequiredError):
    """The servers or the stream are not as they must be; the message says why, and what to do."""


class CopyFencedError(RetryableError):
    """Another owner of the feed copies its journal; this one must not, for good."""


class CopyIncompleteError(RetryableError):
    """No server has a part of what was copied; the message says which."""


class _NoTlsError(nats.errors.Error):
    """The server asks for no TLS, and the settings do."""


class _Client(Client):
    """A client that signs in with TLS alone where the settings ask for it.

    nats-py leaves that to the server, or to whoever answers in its place: without this, a password is sent as it is.
    """

    def __init__(self, *, needs_tls: bool) -> None:
        super().__init__()
        self._needs_tls = needs_tls

    def _connect_command(self) -> bytes:
        # The connection is encrypted by now if the server has asked for it, and never else.
        if self._needs_tls and not self._server_info.get("tls_required"):
            raise _NoTlsError
        command: bytes = super()._connect_command()
        return command


class Answer(NamedTuple):
    """A message as received."""

    subject: str
    data: bytes
    headers: Mapping[str, str]


class NatsConnection:
    """A connection, closed by `close`. A method that fails raises CopyError; then it is to be closed."""

    def __init__(self, settings: JetStreamSettings, server: str, *, name: str, stopping: threading.Event) -> None:
        """Connect to a server. Waits end when `stopping` is set. Raises CopyError and CopyRefusedError."""
        self.server = server
        self._settings, self._name, self._stopping = settings, name, stopping
        self._cause: str | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"nats-{name}", daemon=True)
        self._thread.start()
        self._client = _Client(needs_tls=settings.tls is not None or server.startswith("tls://"))
        try:
            self._wait(self._connect(), CONNECT_TIMEOUT + 1)
        except BaseException:
            self.close()
            raise

    @property
    def version(self) -> tuple[int, int]:
        """The server's version."""
        found = self._client.connected_server_version
        return found.major, found.minor

    @property
    def largest(self) -> int:
        """Bytes of the largest message that the server takes."""
        return self._client.max_payload

    def request(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Answer:
        """Send a message, and return the answer. Raises CopyError."""

        async def ask() -> Answer:
            found = await self._client.request(subject, data, timeout=ANSWER_TIMEOUT, headers=headers)
            return Answer(found.subject, found.data, found.headers or {})

        return self._wait(ask(), ANSWER_TIMEOUT + 1)

    def api(self, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the API of JetStream; an error of it is in the answer. Raises CopyError."""
        answer = self.request(f"$JS.API.{subject}", json.dumps(body or {}).encode())
        try:
            found = json.loads(answer.data)
        except ValueError as error:
            raise CopyError(f"{self.server} answers {subject} with what is no JSON") from error
        if not isinstance(found, dict):
            raise CopyError(f"{self.server} answers {subject} with what is no object")
        return found

    def read(self, stream: str, subject: str, sequence: int) -> list[Answer]:
        """The next messages of a subject, from this number of the stream on; none if there are none.

        They come from any replica, not only from the one of this server. Raises CopyError.
        """
        body = {"seq": sequence, "next_by_subj": subject, "batch": 1000, "max_bytes": _READ_BYTES + self.largest}

        async def ask() -> list[Answer]:
            inbox = self._client.new_inbox()
            subscription = await self._client.subscribe(inbox)
            try:
                await self._client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(body).encode(), reply=inbox)
                found: list[Answer] = []
                while True:
                    message = await subscription.next_msg(ANSWER_TIMEOUT)
                    headers = message.headers or {}
                    status = headers.get("Status")
                    if status == "404" or (status == "204" and (found or headers.get("Nats-Num-Pending") == "0")):
                        return found
                    if status is not None:
                        raise CopyError(f"{self.server} answers a request for messages with {status}")
                    found.append(Answer(headers.get("Nats-Subject", subject), message.data, headers))
            finally:
                await subscription.unsubscribe()

        return self._wait(ask(), 12 * ANSWER_TIMEOUT)

    def close(self) -> None:
        """Close the connection."""
        closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        with contextlib.suppress(FutureTimeoutError):
            closing.result(2.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2.0)
        if not self._thread.is_alive():
            self._loop.close()

    async def _close(self) -> None:
        # One that never connected, or was cut off while it did, may raise whatever it likes.
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._client.close(), 1.0)
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _connect(self) -> None:
        settings = self._settings
        await self._client.connect(
            servers=[self.server],
            name=f"ticks_platform {self._name}",
            allow_reconnect=False,
            # It takes 0 for no limit.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=round(CONNECT_TIMEOUT),
            ping_interval=_PING_INTERVAL,
            max_outstanding_pings=1,
            error_cb=self._note,
            tls=_tls(settings),
            user=settings.user,
            password=_secret(settings.password_env),
            token=_secret(settings.token_env),
        )

    async def _note(self, error: Exception) -> None:
        """The client tells why, and then raises something else."""
        self._cause = str(error) or type(error).__name__

    def _wait(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        deadline = boottime() + timeout
        try:
            while True:
                try:
                    return future.result(_POLL)
                except (FutureTimeoutError, asyncio.TimeoutError) as error:
                    if future.done():
                        raise self._silence() from error
                    if self._stopping.is_set() or boottime() > deadline:
                        future.cancel()
                        raise self._silence() from error
        except nats.errors.NoRespondersError as error:
            raise CopyError(f"{self.server}: nobody answers; the stream has no leader, or JetStream is off") from error
        except _NoTlsError as error:
            raise CopyRefusedError(
                f"{self.server} asks for no TLS, and journal.copy.jetstream does: nothing was sent. Set up TLS on the "
                "server, or write nats:// and leave out the section tls"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise CopyRefusedError(
                f"the certificate of {self.server} is not accepted ({error.verify_message}): "
                "journal.copy.jetstream.tls.ca_file names the authority that signed it, and servers names the host as "
                "the certificate does"
            ) from error
        except (nats.errors.Error, OSError, ValueError) as error:
            words = self._cause or str(error) or type(error).__name__
            if _FORBIDDEN in words.lower():
                raise self._silence() from error
            if any(word in words.lower() for word in _UNAUTHORIZED):
                raise CopyRefusedError(
                    f"{self.server} refuses the sign-in ({words}): see user, password_env, token_env and tls of "
                    "journal.copy.jetstream"
                ) from error
            raise CopyError(f"{self.server}: {words}") from error

    def _silence(self) -> CopyError | CopyRefusedError:
        """Why there is no answer: a server leaves one out that the user has no right to, and tells of it apart."""
        if self._cause is None or _FORBIDDEN not in self._cause.lower():
            return CopyError(f"{self.server} did not answer in time")
        stream = self._settings.stream or "ticks_<feed>"
        return CopyRefusedError(
            f"{self.server} refuses a subject ({self._cause}): the user of journal.copy.jetstream may publish and "
            f"subscribe to {stream}.>, $JS.API.> and _INBOX.>"
        )


def raise_error(answer: dict[str, Any], what: str) -> None:
    """Raise what an answer of the API says, if it is an error."""
    error = answer.get("error")
    if not error:
        return
    words = f"{what}: {error.get('description', 'no reason given')} (error {error.get('err_code')})"
    if error.get("err_code") in _STORAGE_EXCEEDED:
        raise CopyFullError(words)
    if error.get("err_code") == _NO_SUITABLE_PEERS:
        raise CopyError(
            f"{words}. Not all servers are there, or they have no room of journal.copy.jetstream.max_megabytes"
        )
    raise CopyError(words)


def _secret(variable: str | None) -> str | None:
    if variable is None:
        return None
    value = env_file.current(variable)
    if not value:
        raise CopyRefusedError(f"{variable} is not set: put {variable}=… into {env_file.path()}")
    return value


def _tls(settings: JetStreamSettings) -> ssl.SSLContext | None:
    tls = settings.tls
    if tls is None:
        return None
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.certificate_file is not None:
            context.load_cert_chain(tls.certificate_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise CopyRefusedError(f"the certificates of journal.copy.jetstream.tls cannot be read: {error}") from error
    return context
