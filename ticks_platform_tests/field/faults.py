"""The kinds of faults of the field campaign."""

from __future__ import annotations

import contextlib
import itertools
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults.processes import CampaignError
from ticks_platform_tests.field.market import ASKED, OPTIONS, PRICES, STOCKS, Key
from ticks_platform_tests.field.rig import JOURNAL_MEGABYTES, Rig
from ticks_platform_tests.field.server import Answer

SECOND = 1_000_000_000
"""Nanoseconds."""

_TOO_MUCH = """
CREATE FUNCTION ticks_platform.too_much() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014';
END
$$;
CREATE TRIGGER too_much BEFORE UPDATE ON ticks_platform.feed_checkpoint FOR EACH ROW
    WHEN (NEW.frames - OLD.frames > 8) EXECUTE FUNCTION ticks_platform.too_much();
"""
"""A server that does not take more than so many frames at once."""

_TOO_MUCH_NO_MORE = "DROP TRIGGER too_much ON ticks_platform.feed_checkpoint; DROP FUNCTION ticks_platform.too_much()"

_WORDS = {
    STOCKS: (
        {"ev": "status", "status": "error", "message": "Too many connections from your address, please slow down"},
        {"ev": "status", "status": "error", "message": "not authorized to access the plan's quotes"},
        {"ev": "status", "status": "surprise", "message": None},
    ),
    PRICES: (
        {"status": "error", "code": 429, "message": "You have run out of API credits for the current minute"},
        {"event": "subscribe-status", "status": "error", "messages": ["Cant parse message"]},
        {"event": "error", "status": "error", "message": "You are unauthorized to access XHKG data."},
        {"status": "error", "message": None},
    ),
}
"""What a provider says in the middle of a stream; it goes on afterwards."""

_REFUSALS = (
    Answer(403, b"<html>a firewall's page</html>", (("Content-Type", "text/html"),)),
    Answer(429, b"", (("Retry-After", "1"),)),
    Answer(503, b"down for maintenance", (("Retry-After", "2"),)),
    Answer(502, b"bad gateway"),
    Answer(200, b'{"status":"error","code":500,"message":"internal error"}'),
)
"""How a handshake is refused once."""


class Faults(Rig):
    """The kinds of faults, by name in `kinds`. Each leaves the machines so that the first one can stream."""

    def __init__(
        self, *, folder: Path, database: Database, seed: int, native: bool, mutation: str | None = None
    ) -> None:
        """`native` tells whether the database has more than one session. `mutation` is a defect of every machine."""
        super().__init__(folder=folder, database=database, seed=seed, mutation=mutation)
        self._days = 0
        """Days that are over of which trades came."""
        self.kinds: dict[str, Callable[[], None]] = {
            "clock set": self._clock_set,
            "machine slept": self._slept,
            "started with a wrong clock": self._wrong_at_start,
            "disk full": self._disk_full,
            "disk full while the database is away": self._disk_full_and_database_away,
            "journal full": self._journal_full,
            "poison": self._poison,
            "too much at once": self._too_much,
            "words in the stream": self._words,
            "handshake refused": self._handshake_refused,
            "subscription refused": self._subscription_refused,
            "sent again after a reconnect": self._sent_again,
            "late": self._late,
            "taken back": self._taken_back,
            "journal that came back": self._journal_came_back,
            "taken over by another machine": self._taken_over,
            "killed": self._killed,
            "database away": self._database_away,
            "database does not answer": self._database_frozen,
            "provider away": self._provider_away,
            "provider ends the connections": self._provider_ends,
        }
        if native:
            self.kinds["limits of the role"] = self._limits_of_the_role
            self.kinds["statements cancelled"] = self._cancelled

    # The machine: clock, sleep, disk.

    def _clock_set(self) -> None:
        """Set forth or back while it streams, and right again."""
        self.here.clock.wrong += round(self.rng.choice((-7200, -1200, -40, 40, 1200, 7200)) * SECOND)
        self.send()
        self.pause(1.0)
        self.here.clock.wrong = 0

    def _slept(self) -> None:
        """Nothing runs while it sleeps; its provider may have ended the connections meanwhile."""
        seconds = self.rng.uniform(0.3, 2.5)
        self.here.signal(signal.SIGSTOP)
        self.send()
        time.sleep(seconds)
        if self.rng.random() < 0.5:
            self.server.drop()
        self.here.clock.slept += round(seconds * SECOND)
        self.here.signal(signal.SIGCONT)

    def _wrong_at_start(self) -> None:
        self.here.stop()
        self.here.clock.wrong = round(self.rng.choice((-3600, -1200, -90, 90, 1200)) * SECOND)
        self.stream()
        self.send()
        self.pause(1.0)
        if self.rng.random() < 0.3:
            self.here.kill()
        self.here.clock.wrong = 0

    def _disk_full(self) -> None:
        with self.here.disk.full():
            self.send()
            self.pause(1.0)
            if self.rng.random() < 0.3:
                self.here.kill()
                self.here.start()
                self.pause(1.0)

    def _disk_full_and_database_away(self) -> None:
        """The database is back before there is any room again."""
        with self.here.disk.full():
            with self.here.relay.cut():
                self.send()
                self._heavy(1)
                self.pause(1.0)
            self.send()
            self.pause(1.0)

    def _journal_full(self) -> None:
        with self.here.relay.cut():
            self._heavy(JOURNAL_MEGABYTES)
            self.pause(0.5)
            if self.rng.random() < 0.5:
                self.here.kill()

    def _heavy(self, megabytes: int) -> None:
        for feed in ASKED:
            self.server.send(*(self.market.heavy(feed, 60_000) for _ in range(megabytes * 17)))

    # What is sent.

    def _poison(self) -> None:
        for feed in ASKED:
            frames = self.market.poison(feed) + self.market.odd(feed)
            self.rng.shuffle(frames)
            self.server.send(*frames)

    def _sent_again(self) -> None:
        """After a reconnect, the provider sends its last trades again."""
        again = [self.market.frame(feed) for feed in (STOCKS, OPTIONS) for _ in range(8)] + [self.market.constant_ids()]
        sent = self.server.send_and_keep(*again)
        self.pause(0.2)
        if self.rng.random() < 0.7:
            self.server.drop() if self.rng.random() < 0.5 else self.server.close(1001)
            self.stream()
        self.server.send_again(sent)

    def _late(self) -> None:
        """Trades of the minutes before, some of them while the connections are lost."""
        begin = int(time.time()) // 60 * 60 - 3_600
        for feed in (STOCKS, PRICES):
            frames = self.market.late(feed, begin)
            self.server.send(*frames[:6])
            if self.rng.random() < 0.5:
                self.server.drop([feed])
            self.server.send(*frames[6:])

    def _taken_back(self) -> None:
        """A day that is over: trades that arrive late or never, some of which the market takes back; then its true-up,
        and more of them afterwards."""
        self._days += 1
        day = datetime.now(timezone.utc).date() - timedelta(days=1 + self._days)
        noon = int(datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc).timestamp())
        for feed in (STOCKS, PRICES):
            self.server.send(*self.market.late(feed, noon))
        lost = self.rng.random() < 0.7
        if lost:
            self.server.drop([STOCKS])
        self.server.send(*self.market.late(STOCKS, noon + 3_600))
        self.stream()
        self.everything_arrives()
        self.proofs.repair()
        self.proofs.fetch(day)
        self.proofs.prove()
        traded = self.of_day(noon)
        for number, key in enumerate(self.rng.sample(traded, min(len(traded), 8))):
            self.past.take_back(key, key.price + 0.5 if number % 2 else None)
        self.proofs.true_up(day)
        self.proofs.prove()
        for feed in (STOCKS, PRICES):
            self.server.send(*self.market.late(feed, noon + 1_800))

    def of_day(self, noon: int) -> list[Key]:
        """The trades of stocks from this noon on that the market has."""
        keys = [each.event.key for each in self.server.sent[:]]
        return [
            key
            for key in keys
            if isinstance(key, Key) and self.past.has(key) and noon <= key.microseconds // 1_000_000 < noon + 7_200
        ]

    def _words(self) -> None:
        for feed, words in _WORDS.items():
            self.server.say(feed, self.rng.choice(words))
        self.server.say(
            STOCKS, {"ev": "status", "status": "max_connections", "message": "Maximum number of connections"}
        )

    def _handshake_refused(self) -> None:
        feed, refusal = self.rng.choice(list(ASKED)), self.rng.choice(_REFUSALS)
        self.server.refusals[feed].append(refusal)
        seen = len(self.server.handshakes)
        self.server.drop()
        self.stream()
        of_feed = [each for each in self.server.handshakes[seen:] if each.feed == feed]
        asked = float(dict(refusal.headers).get("Retry-After", 0))
        refused, after = next((pair for pair in itertools.pairwise(of_feed) if pair[0].refused), (None, None))
        if refused is None or after is None:
            raise CampaignError(f"no handshake of feed {feed} followed the one that was refused")
        if after.at - refused.at < asked:
            raise CampaignError(
                f"feed {feed} came again after {after.at - refused.at:.2f} s, though asked to wait {asked} s"
            )

    def _subscription_refused(self) -> None:
        """The provider answers a subscription with an error once, and accepts the next one."""
        feed = self.rng.choice(list(ASKED))
        message = "You have exceeded the maximum number of symbols"
        if feed == PRICES:
            self.server.words[feed].append({"event": "subscribe-status", "status": "error", "messages": [message]})
        else:
            self.server.words[feed].append([{"ev": "status", "status": "error", "message": message}])
        self.server.drop([feed])

    # Database and provider.

    @contextlib.contextmanager
    def _too_much_at_once(self) -> Iterator[None]:
        with self.database.transaction() as cursor:
            cursor.execute(_TOO_MUCH)
        try:
            yield
        finally:
            with self.database.transaction() as cursor:
                cursor.execute(_TOO_MUCH_NO_MORE)

    def _too_much(self) -> None:
        with self._too_much_at_once():
            with self.here.relay.cut():
                # Several groups of frames: what arrives together is committed together.
                for _ in range(15):
                    self.send(2)
                    time.sleep(0.02)
            self.pause(1.0)

    def _limits_of_the_role(self) -> None:
        """The server has limits for everybody; a statement takes longer."""
        limits = ("statement_timeout", "lock_timeout", "idle_session_timeout", "transaction_timeout")
        with self.database.autocommit() as cursor:
            cursor.execute("SELECT current_database()")
            (name,) = cursor.fetchone() or ("",)
            for limit in limits:
                cursor.execute(f"ALTER DATABASE \"{name}\" SET {limit} = '300ms'")
        try:
            self.here.relay.reset()
            with self.database.transaction() as cursor:
                cursor.execute("LOCK TABLE stocks_real_time IN ACCESS EXCLUSIVE MODE")
                self.send()
                time.sleep(0.7)
        finally:
            with self.database.autocommit() as cursor:
                for limit in limits:
                    cursor.execute(f'ALTER DATABASE "{name}" RESET {limit}')

    def _cancelled(self) -> None:
        """Somebody cancels what the machine's sessions do."""
        for _ in range(self.rng.randint(3, 12)):
            self.send(5)
            with self.database.autocommit() as cursor:
                cursor.execute(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
                )
            self.pause(0.1)

    def _database_away(self) -> None:
        self.send()
        with self.here.relay.cut():
            self.send()
            self.pause(1.0)

    def _database_frozen(self) -> None:
        with self.here.relay.frozen():
            self.send()
            self.pause(1.5)
            if self.rng.random() < 0.3:
                self.here.relay.reset()

    def _provider_away(self) -> None:
        with self.server.away():
            time.sleep(self.rng.uniform(0.3, 1.0))

    def _provider_ends(self) -> None:
        self.send(100)
        if self.rng.random() < 0.4:
            self.server.drop()
        else:
            self.server.close(self.rng.choice((1000, 1001, 1008, 1011, 1012, 4000)), "bye")

    def _killed(self) -> None:
        self.send()
        self.pause(0.3)
        self.here.kill()

    # Two machines.

    def _taken_over(self) -> None:
        """Another machine takes the feeds while this one is frozen, or runs; then this one takes them back."""
        if self.rng.random() < 0.5:
            self.here.signal(signal.SIGSTOP)
            try:
                self.there.start()
                # An owner that is frozen in a transaction may have to be resumed first.
                with contextlib.suppress(CampaignError):
                    self.await_streaming(self.there, 2, within=8.0)
                self.send()
            finally:
                self.here.signal(signal.SIGCONT)
        else:
            self.there.start()
        self.here.is_replaced()
        self.await_streaming(self.there)
        self.send()
        self._return()

    def _journal_came_back(self) -> None:
        """A machine is cut off from the database and receives on; another one receives the same."""
        with self.here.relay.cut():
            self.send()
            self.there.start()
            self.await_streaming(self.there, 2)
            self.send()
            self.pause(0.5)
            if self.rng.random() < 0.5:
                self.here.kill()
        if self.here.process is not None:
            self.here.is_replaced()
        self.send()
        self._return()

    def _return(self) -> None:
        """The feeds come back to the first machine, with what waits in its journals."""
        if self.rng.random() < 0.5:
            self.there.kill()
            self.stream()
        else:
            self.here.start()
            self.await_streaming(self.here)
            self.there.is_replaced()
