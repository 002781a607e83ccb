"""The stream of a feed, as its one owner writes it.

Each message is published with the number that the last one must have, one at a time: whoever has published anything
else meanwhile has shut this owner out, for good. A new owner first publishes a marker with its epoch, which shuts out
the one before; what the marker says of the journals' ends is final then.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.ingestion.journal_copy import messages
from ticks_platform.ingestion.journal_copy.connection import (
    MISSES,
    MISSING_FOR,
    Answer,
    CopyError,
    CopyFencedError,
    CopyFullError,
    CopyRefusedError,
    NatsConnection,
    raise_error,
)
from ticks_platform.ingestion.journal_copy.messages import Marker, Message

logger = logging.getLogger(__name__)

HEADROOM = 1 << 20
"""Bytes by which the limit is raised where a full stream has no room for a new owner's marker."""

_WRONG_LAST = (10071, 10164)
_FULL = (10077, 10076)
_TOO_LARGE = 10054


class Marked(NamedTuple):
    """What a new owner finds in its stream."""

    sequence: int
    """The number of its marker."""
    ends: dict[str, int]
    """Up to where each journal is copied, and will ever be."""


class Stream:
    """The stream of one feed, for one epoch. All methods raise CopyError, and CopyFencedError for good."""

    def __init__(self, settings: JetStreamSettings, feed: str, *, epoch: int, owner: str, journal: str) -> None:
        self.name = settings.stream_of(feed)
        self._settings = settings
        self._feed = feed
        self._epoch = epoch
        self._owner = owner
        self._journal = journal
        self._missing_since: float | None = None
        self.last = 0
        """The number of the last message of this owner."""
        self.marked: Marked | None = None
        """What was found when the marker was published; None before."""

    def publish_marker(self, connection: NatsConnection, ensure: Callable[[int], dict[str, Any]]) -> Marked:
        """Publish the marker: nobody with an earlier epoch can publish any more.

        `ensure` creates the stream if it is not there, adds so many bytes to its limit, and returns what the server
        tells of it. Raises CopyFencedError.
        """
        room = 0
        while self.marked is None:
            info = ensure(room)
            last = int(info["state"]["last_seq"])
            known = self._last_marker(connection)
            if known is not None and (known.epoch, known.owner) == (self._epoch, self._owner):
                # An answer was lost.
                at, ends = self._sequence_of_marker(connection), known.ends
            elif known is not None and known.epoch >= self._epoch:
                raise self._late(known.epoch)
            else:
                ends = self._ends(connection, info, last, known)
                marker = messages.marker_message(self.name, Marker(self._epoch, self._journal, self._owner, ends))
                self.last = last
                try:
                    at = self.publish(connection, marker)
                except CopyFencedError:
                    # Not for good yet: the owner before has published meanwhile, or another new one.
                    continue
                except CopyFullError:
                    if room:
                        raise
                    room = HEADROOM
                    continue
            self.last = at
            self.marked = Marked(at, ends)
            with contextlib.suppress(CopyError):
                self._purge(connection, messages.owner_subject(self.name), before=at)
        return self.marked

    def publish_marker_without(self, connection: NatsConnection, journal_id: str) -> Marked:
        """Publish the marker again, without the end of a journal of which nothing is in the stream any more."""
        assert self.marked is not None
        ends = {journal: end for journal, end in self.marked.ends.items() if journal != journal_id}
        marker = messages.marker_message(self.name, Marker(self._epoch, self._journal, self._owner, ends))
        marker.headers[messages.MESSAGE_ID] += f":without:{journal_id}"
        self.marked = Marked(self.publish(connection, marker), ends)
        return self.marked

    def publish(self, connection: NatsConnection, message: Message) -> int:
        """Publish a message after the last one of this owner, and return its number.

        If it fails, it must be tried again as it is before any other. Raises CopyFencedError and CopyFullError.
        """
        headers = {**message.headers, messages.EXPECTED: str(self.last)}
        answer = _json(connection, connection.request(message.subject, message.payload, headers))
        error = answer.get("error")
        if error:
            code, words = error.get("err_code"), error.get("description")
            if code in _WRONG_LAST:
                self.last = self._own_sequence(connection, message)
                return self.last
            if code in _FULL:
                raise CopyFullError(f"the stream {self.name} is full: {words}")
            if code == _TOO_LARGE:
                raise CopyRefusedError(f"the stream {self.name} takes no message of {len(message.payload):,} bytes")
            raise CopyError(f"{connection.server}: {words} (error {code})")
        sequence = answer.get("seq")
        if answer.get("stream") != self.name or not isinstance(sequence, int) or sequence <= self.last:
            raise CopyError(f"{connection.server} answers a message with what is no receipt of stream {self.name}")
        self.last = sequence
        return sequence

    def purge_journal(self, connection: NatsConnection, journal_id: str, *, before: int) -> None:
        """Delete a journal's messages before this number of the stream: their frames are committed."""
        self._purge(connection, messages.journal_subject(self.name, journal_id), before=before)

    def _purge(self, connection: NatsConnection, subject: str, *, before: int) -> None:
        answer = connection.api(f"STREAM.PURGE.{self.name}", {"filter": subject, "seq": before})
        raise_error(answer, f"committed frames cannot be deleted from the stream {self.name}")

    def _own_sequence(self, connection: NatsConnection, message: Message) -> int:
        """The number of a message that was stored before its answer was lost. Raises CopyFencedError if it was not."""
        stored = self._get(connection, {"seq": self.last + 1})
        if stored is not None and stored.headers.get(messages.MESSAGE_ID) == message.id:
            return self.last + 1
        raise CopyFencedError(
            f"another owner of feed '{self._feed}' publishes to the stream {self.name}; this run copies its journal no "
            "longer"
        )

    def _late(self, epoch: int) -> CopyFencedError:
        return CopyFencedError(
            f"the stream {self.name} has an owner of epoch {epoch}, and this run has epoch {self._epoch}. If the "
            f"database was restored from a copy, remove the stream with `nats stream rm {self.name}` once its frames "
            "are loaded"
        )

    def _ends(
        self, connection: NatsConnection, info: dict[str, Any], last: int, marker: Marker | None
    ) -> dict[str, int]:
        """Up to where each journal is copied: what the last marker says, and the last message."""
        # Of journals whose messages were all deleted, nothing is needed any more.
        subjects = info["state"].get("subjects") or {}
        ends = {
            journal: end
            for journal, end in (marker.ends if marker is not None else {}).items()
            if messages.journal_subject(self.name, journal) in subjects
        }
        if not info["state"]["messages"]:
            return ends
        newest = self._newest(connection, last)
        if newest is not None and messages.number(newest.headers, messages.EPOCH) > self._epoch:
            raise self._late(messages.number(newest.headers, messages.EPOCH))
        prefix = messages.journal_subject(self.name, "")
        for subject in subjects:
            if subject.startswith(prefix):
                is_newest = newest is not None and newest.subject == subject
                found = newest if is_newest else self._get(connection, {"last_by_subj": subject})
                if found is not None:
                    journal = subject[len(prefix) :]
                    ends[journal] = max(ends.get(journal, 0), messages.number(found.headers, messages.END))
        return ends

    def _newest(self, connection: NatsConnection, last: int) -> Answer | None:
        """The newest message, which tells how far the last owner came; of any server that has it."""
        found = self._get(connection, {"seq": last})
        if found is not None:
            return found
        # A disk may have lost it on the server that leads. Any replica answers this.
        for _ in range(MISSES):
            for each in connection.read(self.name, f"{self.name}.>", last):
                if messages.number(each.headers, "Nats-Sequence") == last:
                    return each
        now = boottime()
        self._missing_since = self._missing_since or now
        if now < self._missing_since + MISSING_FOR:
            raise CopyError(f"the newest message of the stream {self.name}, number {last}, is missing; asking again")
        logger.error(
            "feed %s: no server has the newest message of the stream %s, number %d: the end of what was copied may be "
            "lost",
            self._feed,
            self.name,
            last,
        )
        return None

    def _last_marker(self, connection: NatsConnection) -> Marker | None:
        found = self._get(connection, {"last_by_subj": messages.owner_subject(self.name)})
        if found is None:
            return None
        try:
            return messages.decode_marker(found.data)
        except msgspec.MsgspecError as error:
            raise CopyRefusedError(
                f"the stream {self.name} has a message on {found.subject} that is not of this platform: remove the "
                "stream, or give journal.copy.jetstream.stream another name"
            ) from error

    def _sequence_of_marker(self, connection: NatsConnection) -> int:
        found = self._get(connection, {"last_by_subj": messages.owner_subject(self.name)})
        if found is None:
            raise CopyError(f"the marker of the stream {self.name} is gone")
        return int(found.headers["Nats-Sequence"])

    def _get(self, connection: NatsConnection, which: Mapping[str, Any]) -> Answer | None:
        """A message as the leader has it; None if there is none."""
        answer = connection.api(f"STREAM.MSG.GET.{self.name}", which)
        if (answer.get("error") or {}).get("code") == 404:
            return None
        raise_error(answer, f"a message of the stream {self.name} cannot be read")
        message = answer["message"]
        headers = _headers(base64.b64decode(message.get("hdrs", "")))
        headers["Nats-Sequence"] = str(message["seq"])
        return Answer(message["subject"], base64.b64decode(message.get("data", "")), headers)


def _headers(data: bytes) -> dict[str, str]:
    lines = data.decode("utf-8", "replace").split("\r\n")[1:]
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


def _json(connection: NatsConnection, answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.data)
    except ValueError as error:
        raise CopyError(f"{connection.server} answers a message with what is no JSON") from error
    return found if isinstance(found, dict) else {}
