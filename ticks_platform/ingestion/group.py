"""Feeds that are ingested by one process: each has an ingestion of its own, and what ends one of them ends no other.

A feed that cannot stream rests, and is tried again: when it is enabled, when whoever else ingests it gives it up, when
feeds.yaml or .env is changed after a refusal, and after failures ever less often.
"""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg2

from ticks_platform.errors import ActionRequiredError
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion import switch
from ticks_platform.ingestion.lease import DEAD_AFTER, LeaseLostError, LeaseStatus
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

logger = logging.getLogger(__name__)

TEND_INTERVAL = 5.0
"""Seconds between looks at the leases and switches of all feeds."""

STARTS = 10
"""Feeds that are started at a time: each opens connections to the database."""

START_INTERVAL = 0.25
"""Seconds between these times."""

SHORT_LIFE = 60.0
"""Seconds. Failures of ingestions that lived for less are counted together."""

_LONGEST_STEP = 10.0
"""Seconds by which the clock of silent owners advances between two looks, at the most: no one can beat in an outage."""


class Owner(enum.Enum):
    """Who holds a feed's lease."""

    HANDS_OVER = "a run that hands over to this one"
    ENDED = "a run that has ended"
    OTHER = "somebody else"


class Rest(enum.Enum):
    """Why a feed does not stream."""

    NEW = "not started yet"
    DISABLED = "disabled"
    HELD = "ingested by another owner"
    REFUSED = "refused"
    FAILED = "failed"
    HANDED_OVER = "handed over"


class _Sign(NamedTuple):
    """A heartbeat, and when it was seen first, on the group's clock."""

    beat: str
    seen_at: float


@dataclass
class Member:
    """One feed of the group."""

    feed: FeedSettings
    stream: Ingestion | None = None
    """Its ingestion, while it streams."""
    rest: Rest = Rest.NEW
    """Why it does not stream, if it does not."""
    reason: str = "not started yet"
    error: Exception | None = None
    """What ended it last, if that was an error."""
    follower: Ingestion | None = None
    """An ingestion with other settings that is about to take over from `stream`."""
    started_at: float = 0.0
    failures: int = 0
    """In a row, of ingestions that lived shortly."""
    retry_at: float = 0.0
    refused_at: float = 0.0
    """Seconds since the Unix epoch."""
    asked_for: FeedSettings | None = None
    """The settings of the follower, which is not launched again for the same ones."""
    sign: _Sign | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.feed.name


class Group:
    """Streams feeds until it is stopped, or none of them can stream now.

    Use it as a context manager, and call `look` several times a second. On exit all feeds are stopped at once, as
    `Ingestion.stop` does.
    """

    def __init__(
        self,
        feeds: Sequence[FeedSettings],
        *,
        database: Database,
        ingestion: Callable[[FeedSettings, bool], Ingestion],
        owner: str,
        whose: Callable[[str], Owner],
        say: Callable[[int, str], None] = logger.log,
        corrected_at: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`ingestion` makes one feed's ingestion, which follows the present owner if the second argument is set.

        `whose` tells about the owner of a lease that is not `owner`, `corrected_at` when feeds.yaml or .env was
        changed, in seconds since the Unix epoch, and `say` is told what people have to know, with logging's level.
        """
        self.members = {feed.name: Member(feed) for feed in feeds}
        self._database = database
        self._ingestion = ingestion
        self._owner = owner
        self._whose = whose
        self._say = say
        self._corrected_at = corrected_at
        self._tend_at = 0.0
        self._clock = 0.0
        self._looked_at = time.monotonic()
        self._trouble = ""
        self._handed_over: dict[str, list[str]] = {}
        """Feeds of which that is still to be said, by what is said: of fifty that move to one run, in a few lines."""
        self._stopping: list[threading.Thread] = []

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.stop()

    @property
    def streams(self) -> list[Ingestion]:
        """The ingestions of the feeds that stream now."""
        return [member.stream for member in self.members.values() if member.stream is not None]

    def look(self) -> bool:
        """See which feeds have ended, and start those that can stream. Returns whether any of them streams, or may."""
        for member in self.members.values():
            self._see(member)
        now = time.monotonic()
        if now >= self._tend_at:
            self._tend_at = now + self._tend(now)
        return any(member.stream is not None or member.rest is Rest.NEW for member in self.members.values())

    def apply(self, feeds: Sequence[FeedSettings]) -> None:
        """Take over what feeds.yaml says of these feeds now; feeds that are not among them end."""
        current = {feed.name: feed for feed in feeds}
        for member in list(self.members.values()):
            new = current.get(member.name)
            if new is None:
                self._say(logging.INFO, f"feed '{member.name}' is no longer in feeds.yaml; it ends")
                self._stop_later(member)
                del self.members[member.name]
            elif new == member.feed or member.stream is None:
                member.feed = new
            elif member.feed.only_symbols_differ(new):
                if new.symbols != member.feed.symbols:
                    self._say(logging.INFO, f"the symbols of feed '{member.name}' have changed in feeds.yaml")
                member.stream.apply_settings(new)
                member.feed = new
            elif new != member.asked_for and member.follower is None:
                self._say(logging.INFO, f"feed '{member.name}' has other settings in feeds.yaml; it is handed over")
                member.asked_for = new
                member.follower = self._started(member, new, follow=True)

    def stop(self) -> None:
        """Stop all feeds at once: each commits what it has as far as the database allows soon."""
        for member in self.members.values():
            self._stop_later(member)
        for thread in self._stopping:
            thread.join()

    def reasons(self) -> str:
        """Why each feed that rests does so."""
        found: dict[str, list[str]] = {}
        for member in self.members.values():
            if member.stream is None:
                found.setdefault(member.reason, []).append(member.name)
        return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in found.items())

    # Feeds that end.

    def _see(self, member: Member) -> None:
        if member.follower is not None and member.stream is not None and not _is_over(member.stream):
            try:
                member.follower.wait(0)
            except Exception as error:  # noqa: BLE001  (the feed continues with its old settings, whatever it was)
                self._say(logging.WARNING, f"feed '{member.name}' continues with its old settings: {error}")
                member.follower = None
            return
        if member.stream is None or not _is_over(member.stream):
            return
        ended = member.stream
        self._later(ended.stop)  # its sockets, at once where it has ended by itself
        if member.follower is not None and member.asked_for is not None:
            member.stream, member.feed, member.follower = member.follower, member.asked_for, None
            return
        member.stream = None
        try:
            ended.wait(0)
        except Exception as error:  # noqa: BLE001  (what ends one feed ends no other)
            self._fail(member, error)
            return
        if ended.successor is None:
            self._rest(member, Rest.DISABLED, "switched off; the job enable_feed switches it on")
        elif self._whose(ended.successor) is Owner.HANDS_OVER:
            member.rest, member.reason = Rest.HANDED_OVER, f"handed over to run {ended.successor}"
            self._handed_over.setdefault(member.reason, []).append(member.name)
        else:
            self._rest(member, Rest.HELD, f"handed over to {ended.successor}")

    def _fail(self, member: Member, error: Exception) -> None:
        member.error = error
        if isinstance(error, ActionRequiredError):
            member.refused_at = time.time()
            reason = f"{error}. The feed rests until .env or feeds.yaml is changed"
            self._rest(member, Rest.REFUSED, reason, level=logging.ERROR)
        elif isinstance(error, LeaseLostError):
            self._rest(member, Rest.HELD, str(error), level=logging.WARNING)
        else:
            now = time.monotonic()
            member.failures = member.failures + 1 if now - member.started_at < SHORT_LIFE else 1
            delay = 0.0 if member.failures < 3 else min(300.0, 10.0 * 2.0 ** min(member.failures - 3, 16))
            member.retry_at = now + delay
            reason = f"{type(error).__name__}: {error}; retrying in {delay:.0f} s"
            self._rest(member, Rest.FAILED, reason, level=logging.ERROR)

    def _rest(self, member: Member, rest: Rest, reason: str, *, level: int = logging.INFO) -> None:
        if (member.rest, member.reason) != (rest, reason):
            self._say(level, f"feed '{member.name}': {reason}")
        member.rest, member.reason = rest, reason

    # Feeds that can stream.

    def _tend(self, now: float) -> float:
        """Start what can stream. Returns the seconds to wait before this is done again."""
        names = [member.name for member in self.members.values() if member.rest is not Rest.HANDED_OVER]
        # Where nothing streams any more, whoever holds the group says why, of all feeds.
        for reason, handed in self._handed_over.items() if self.streams else ():
            self._say(logging.INFO, f"{_named(handed)}: {reason}")
        self._handed_over.clear()
        try:
            with self._database.transaction() as cursor:
                off = switch.disabled(cursor, names)
                held = leases.statuses(cursor, names)
                working = leases.active_loaders(cursor, names)
        except (psycopg2.Error, DatabaseUnavailableError) as error:
            # A feed that streams says so itself.
            if not self.streams and str(error) != self._trouble:
                self._trouble = str(error)
                self._say(logging.WARNING, f"waiting for the database: {self._trouble.strip()}")
            return min(1.0, TEND_INTERVAL)
        self._trouble = ""
        self._clock += min(now - self._looked_at, _LONGEST_STEP)
        self._looked_at = now
        corrected_at = self._corrected_at()
        started = 0
        for member in [self.members[name] for name in names]:
            status = held.get(member.name)
            if status is not None:
                self._hear(member, status, is_working=member.name in working)
            if member.stream is not None:
                self._replace_if_hung(member, status)
                continue
            obstacle = self._obstacle(member, status, off, corrected_at, now)
            if obstacle is not None:
                self._rest(member, *obstacle)
            elif started == STARTS:
                return min(START_INTERVAL, TEND_INTERVAL)
            else:
                started += 1
                follow = status is not None and self._hands_over(status)
                member.stream = self._started(member, member.feed, follow=follow)
        return TEND_INTERVAL

    def _obstacle(
        self, member: Member, status: LeaseStatus | None, off: set[str], corrected_at: float, now: float
    ) -> tuple[Rest, str] | None:
        """Why a feed that rests must go on resting; None if it can be started."""
        if member.name in off:
            return Rest.DISABLED, "switched off; the job enable_feed switches it on"
        is_held = status is not None and not status.released and status.owner != self._owner
        if status is not None and is_held and self._is_alive(member) and self._whose(status.owner) is Owner.OTHER:
            return Rest.HELD, f"ingested by {status.owner}"
        if member.rest is Rest.REFUSED and corrected_at <= member.refused_at:
            return member.rest, member.reason
        if member.rest is Rest.FAILED and now < member.retry_at:
            return member.rest, member.reason
        return None

    def _hear(self, member: Member, status: LeaseStatus, *, is_working: bool) -> None:
        """Note a heartbeat of the feed's owner. A loader that waits for a lock or a large commit cannot send one."""
        beat = f"{status.owner} {status.epoch} {status.heartbeat_at}"
        if member.sign is None:
            # Its age counts at first sight only: later, an old heartbeat may date from before an outage.
            member.sign = _Sign(beat, self._clock - (0.0 if is_working else max(status.age, 0.0)))
        elif is_working or member.sign.beat != beat:
            member.sign = _Sign(beat, self._clock)

    def _is_alive(self, member: Member) -> bool:
        return member.sign is not None and self._clock - member.sign.seen_at <= DEAD_AFTER

    def _hands_over(self, status: LeaseStatus) -> bool:
        is_held = not status.released and status.owner != self._owner
        return is_held and self._whose(status.owner) is Owner.HANDS_OVER

    def _replace_if_hung(self, member: Member, status: LeaseStatus | None) -> None:
        """Start a feed's ingestion again that holds the lease and sends no heartbeats, as a run of its own would be."""
        is_own = status is not None and status.owner == self._owner and not status.released
        if not is_own or self._is_alive(member) or time.monotonic() - member.started_at < DEAD_AFTER:
            return
        self._say(logging.WARNING, f"feed '{member.name}' has sent no heartbeat for {DEAD_AFTER:.0f} s; started again")
        self._stop_later(member)
        member.stream = self._started(member, member.feed, follow=False)

    def _started(self, member: Member, feed: FeedSettings, *, follow: bool) -> Ingestion | None:
        member.started_at = time.monotonic()
        try:
            return self._ingestion(feed, follow).__enter__()
        except Exception as error:  # noqa: BLE001  (whatever its connector raises; a missing key, for one)
            if member.stream is None:
                self._fail(member, error)
            else:
                self._say(logging.WARNING, f"feed '{member.name}' continues with its old settings: {error}")
            return None

    # Stopping takes seconds where the database is away.

    def _stop_later(self, member: Member) -> None:
        for stream in (member.stream, member.follower):
            if stream is not None:
                self._later(stream.stop)
        member.stream = member.follower = None

    def _later(self, work: Callable[[], None]) -> None:
        self._stopping = [thread for thread in self._stopping if thread.is_alive()]
        thread = threading.Thread(target=work, name="stop", daemon=True)
        self._stopping.append(thread)
        thread.start()


def _named(feeds: Sequence[str]) -> str:
    return f"feed '{feeds[0]}'" if len(feeds) == 1 else f"feeds {', '.join(feeds)}"


def _is_over(stream: Ingestion) -> bool:
    try:
        return stream.wait(0)
    except Exception:  # noqa: BLE001  (raised again where it is wanted)
        return True
