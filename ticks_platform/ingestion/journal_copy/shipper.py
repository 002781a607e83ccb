"""Copies a feed's journals to its stream, in a thread behind the receiver. The feed continues whatever happens here."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence

from ticks_platform.backoff import Backoff
from ticks_platform.errors import TicksPlatformError
from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.ingestion.journal_copy import messages, servers
from ticks_platform.ingestion.journal_copy.connection import (
    CopyFencedError,
    CopyFullError,
    CopyRefusedError,
    NatsConnection,
)
from ticks_platform.ingestion.journal_copy.messages import Bundle, Message
from ticks_platform.ingestion.journal_copy.stream import Marked, Stream
from ticks_platform.ingestion.journal_copy.tail import OpenJournal, Tail
from ticks_platform.ingestion.progress import Unshipped

logger = logging.getLogger(__name__)

POLL_INTERVAL = 0.02
"""Seconds between looks for new frames; what arrives meanwhile is published together."""

FULL_INTERVAL = 1.0
"""Seconds between attempts to publish to a stream that is full."""

TRIM_INTERVAL = 1.0
"""Seconds between deletions of what is committed."""

SYNC_CHECK_INTERVAL = 60.0
"""Seconds for which it is known that the servers sync each message."""

FINISH_TIMEOUT = 1.0
"""Seconds that a stop waits for the last frames to be copied."""

_BACKOFF_CAP, _REFUSED_CAP = 5.0, 30.0


class Shipper:
    """Copies the journals of one owner of a feed."""

    def __init__(
        self, settings: JetStreamSettings, feed: str, *, epoch: int, owner: str, journals: Sequence[OpenJournal]
    ) -> None:
        """`journals` are what the owner has to load, in this order; it appends to the last one."""
        self._settings = settings
        self._feed = feed
        self._epoch = epoch
        self._stream = Stream(settings, feed, epoch=epoch, owner=owner, journal=journals[-1].journal_id)
        self._tails = [Tail(journal) for journal in journals]
        self._loaded: set[str] = set()
        self._to_begin_again: set[str] = set()
        self._current: tuple[Tail, Bundle] | None = None
        self._pending: deque[Message] = deque()
        self._trim_at = self._sync_check_at = 0.0
        self._marking = threading.Condition()
        self._marked: Marked | None = None
        self._trouble: str | None = "not connected yet"
        self._is_over = False
        self._finish_by: float | None = None
        self._aborting = threading.Event()
        self._waking = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"copy-{feed}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Copy what is left, for FINISH_TIMEOUT seconds at most, and end."""
        self._finish_by = boottime() + FINISH_TIMEOUT
        self._waking.set()
        if self._trouble is not None:
            self._aborting.set()
        self._thread.join(FINISH_TIMEOUT + 0.5)
        self._aborting.set()
        self._thread.join(1.0)

    def unshipped(self) -> Unshipped:
        """What is not copied. Safe from any thread."""
        tails = list(self._tails)
        waiting = [tail for tail in tails if tail.unshipped]
        arrivals = [arrived for tail in waiting if (arrived := tail.oldest_arrival()) is not None]
        age = max(0.0, (time.time_ns() - min(arrivals)) / 1e9) if arrivals else 0.0
        return Unshipped(sum(tail.unshipped for tail in waiting), age, self._trouble)

    def wait_marked(self, seconds: float) -> Marked | None:
        """Wait until nobody else can copy; what was found in the stream then, or None if that takes longer."""
        with self._marking:
            self._marking.wait_for(lambda: self._marked is not None or self._is_over, seconds)
            return self._marked

    def was_loaded(self, journal_id: str) -> None:
        """A journal that was read from the stream is committed: its messages are not needed. Safe from any thread."""
        self._loaded.add(journal_id)

    def begin_again(self, journal_id: str) -> None:
        """Copy a journal of which the copy had more than its disk: that is committed. Safe from any thread."""
        self._to_begin_again.add(journal_id)

    # The thread.

    def _run(self) -> None:
        try:
            self._keep_shipping()
        except Exception as error:
            logger.exception("feed %s: its journal is no longer copied", self._feed)
            self._trouble = f"the copying has ended: {error}"
        finally:
            for tail in self._tails:
                tail.close()
            with self._marking:
                self._is_over = True
                self._marking.notify_all()

    def _keep_shipping(self) -> None:
        backoff = Backoff(base=0.2, cap=_BACKOFF_CAP)
        refused = Backoff(base=2.0, cap=_REFUSED_CAP)
        urls = deque(self._settings.servers)
        while not self._is_time_to_end():
            try:
                connection = NatsConnection(self._settings, urls[0], name=f"copy {self._feed}", stopping=self._aborting)
                with contextlib.closing(connection):
                    self._begin(connection)
                    backoff.reset()
                    refused.reset()
                    self._ship(connection)
            except CopyFencedError as error:
                self._say(str(error))
                return
            except CopyRefusedError as error:
                self._say(str(error), level=logging.ERROR)
                delay = refused.next_delay()
            except (TicksPlatformError, sqlite3.Error, OSError) as error:
                self._say(str(error))
                delay = backoff.next_delay()
            else:
                return
            urls.rotate(-1)
            self._waking.wait(delay)

    def _say(self, trouble: str | None, *, level: int = logging.WARNING) -> None:
        if trouble is not None and trouble != self._trouble:
            logger.log(level, "feed %s: its journal is not copied now: %s", self._feed, trouble)
        if trouble is None and self._trouble is not None:
            logger.info("feed %s: its journal is copied to the stream %s", self._feed, self._stream.name)
        self._trouble = trouble

    def _begin(self, connection: NatsConnection) -> None:
        servers.check_version(connection)
        # A server that does not answer takes a while.
        if boottime() >= self._sync_check_at:
            servers.check_sync(self._settings)
            self._sync_check_at = boottime() + SYNC_CHECK_INTERVAL
        servers.ensure(connection, self._settings, self._stream.name)
        marked = self._stream.publish_marker(
            connection, lambda room: servers.ensure(connection, self._settings, self._stream.name, room=room)
        )
        if self._marked is None:
            for tail in self._tails:
                tail.begin(marked.ends.get(tail.journal_id, 0))
            with self._marking:
                self._marked = marked
                self._marking.notify_all()
        self._say(None)

    def _ship(self, connection: NatsConnection) -> None:
        """Publish until it is time to end."""
        while not self._is_time_to_end():
            busy = False
            try:
                self._begin_again_if_asked(connection)
                busy = self._ship_next(connection)
                self._say(self._contradiction())
            except CopyFullError as error:
                self._say(f"{error}. Frames are committed too slowly, or the database is away")
                self._waking.wait(FULL_INTERVAL)
            self._trim_if_due(connection)
            if not busy:
                if self._finish_by is not None and not self._pending:
                    return
                time.sleep(POLL_INTERVAL)

    def _ship_next(self, connection: NatsConnection) -> bool:
        """Publish the next bundle; whether there was one."""
        if self._current is None:
            self._current = self._next(connection)
        if self._current is None:
            return False
        tail, bundle = self._current
        sequence = 0
        while self._pending:
            # It stays as it is until its fate is known.
            sequence = self._stream.publish(connection, self._pending[0])
            self._pending.popleft()
        tail.was_shipped(bundle, sequence)
        self._current = None
        return True

    def _next(self, connection: NatsConnection) -> tuple[Tail, Bundle] | None:
        for tail in list(self._tails):
            if tail.is_contradicted:
                continue
            bundle = tail.read()
            if bundle is not None:
                limit = min(connection.largest, messages.LARGEST) - messages.HEADERS_SIZE
                self._pending.extend(
                    messages.messages_of(
                        self._stream.name,
                        tail.journal_id,
                        bundle,
                        position=tail.shipped,
                        epoch=self._epoch,
                        extent=tail.extent,
                        limit=limit,
                    )
                )
                return tail, bundle
        return None

    def _contradiction(self) -> str | None:
        for tail in list(self._tails):
            if tail.is_contradicted:
                return (
                    f"the stream {self._stream.name} has more of the journal {tail.journal.path} than its disk, which "
                    "was restored from an older state. It is copied again once that is read back and stored"
                )
        return None

    def _begin_again_if_asked(self, connection: NatsConnection) -> None:
        if self._marked is None or self._pending:
            return
        for journal_id in list(self._to_begin_again):
            # In this order: whoever reads the marker only takes what is there.
            self._stream.purge_journal(connection, journal_id, before=self._stream.last + 1)
            self._marked = self._stream.publish_marker_without(connection, journal_id)
            for tail in self._tails:
                if tail.journal_id == journal_id:
                    tail.begin_again()
            self._to_begin_again.discard(journal_id)

    def _trim_if_due(self, connection: NatsConnection) -> None:
        if boottime() < self._trim_at or self._marked is None:
            return
        self._trim_at = boottime() + TRIM_INTERVAL
        marker = self._marked.sequence
        for tail in self._tails[:-1]:
            if tail.is_done and not tail.is_contradicted and (self._current is None or self._current[0] is not tail):
                self._tails.remove(tail)
                tail.close()
                self._stream.purge_journal(connection, tail.journal_id, before=self._stream.last + 1)
        for tail in self._tails:
            before = tail.deletable(marker)
            if before is not None:
                self._stream.purge_journal(connection, tail.journal_id, before=before)
        for journal_id in list(self._loaded):
            self._stream.purge_journal(connection, journal_id, before=marker)
            self._loaded.discard(journal_id)

    def _is_time_to_end(self) -> bool:
        return self._aborting.is_set() or (self._finish_by is not None and boottime() > self._finish_by)
