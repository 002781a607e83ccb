"""The faults, and the count after each."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import NamedTuple

from ticks_platform_tests.lost_machines.machine import Machine, OnDisk
from ticks_platform_tests.lost_machines.rig import FEEDS, Rig
from ticks_platform_tests.lost_machines.stream_ends import Copied, copied
from ticks_platform_tests.support.made_and_stored import WHOLE, keys_of, stored_ticks

DATABASE_AWAY_EVERY, DESTROYED_EVERY = 5, 10
"""In every so many faults, the database is away, and a machine is destroyed with its disk."""

READ_WITHIN = 60.0
"""Seconds from the return of the servers until a copy is read that could not be read before."""

DESTROYED = "machine destroyed with its disk"


class Left(NamedTuple):
    """What a machine that does not go on has left of a feed."""

    machine: str
    feed: str
    journal: OnDisk
    copied: Copied | None
    """Its last message in the stream."""
    committed: int
    told: int | None
    """Bytes neither copied nor committed, as it told last, where nothing was copied any more since."""
    is_destroyed: bool
    is_older: bool
    """Whether its disk was replaced by an older state of it: then other frames have the same positions."""

    @property
    def safe(self) -> int:
        """Up to where another machine has it."""
        return max(self.committed, self.copied.end if self.copied else 0)


class Campaign:
    """Faults of each kind, with the database away and machines destroyed now and then."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._rng = random.Random(seed)
        self.kinds: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
            "killed": self._killed,
            "killed, and another machine": self._moved,
            "ended, and another machine": self._ended,
            "frozen for seconds": self._frozen,
            "frozen, and another machine": self._frozen_and_replaced,
            "link to NATS silent": self._silent,
            "link to one NATS server cut": self._one_link_cut,
            "links to NATS cut": self._links_cut,
            "NATS server killed": self._server_killed,
            "bit flipped on a NATS server": self._bit_flipped,
            "disk of a NATS server full": self._disk_full,
            "machine returns with its disk": self._returned,
            "another machine, and no link to NATS": self._moved_without_servers,
            "disk restored from an older state": self._older_disk,
        }
        self.faults: Counter[str] = Counter()
        self.back: dict[str, list[float]] = {}
        self.lost_bytes = self.lost_frames = self.kept_bytes = 0
        self._is_away = False
        self._left: list[Left] = []
        self._afterwards: list[Callable[[], None]] = []

    def run(
        self,
        faults: int,
        *,
        kinds: list[str] | None = None,
        destroyed_every: int = DESTROYED_EVERY,
        is_final: bool = True,
    ) -> list[str]:
        """Make so many faults, each kind equally often. Returns the first problems that a count finds.

        If it `is_final`, all machines return at the end.
        """
        self._rig.all_stream()
        bag: list[str] = []
        for number in range(1, faults + 1):
            if number % destroyed_every == 0:
                kind, fault = DESTROYED, self._destroyed
            else:
                bag = bag or (list(kinds) if kinds else self._rng.sample(sorted(self.kinds), len(self.kinds)))
                kind = bag.pop(0)
                fault = self.kinds[kind]
            is_away = number % min(DATABASE_AWAY_EVERY, destroyed_every) == 0
            seconds = self._make(fault, is_away=is_away)
            name = f"{kind}, database away" if is_away else kind
            self.faults[name] += 1
            self.back.setdefault(name, []).append(seconds)
            problems = [*self._rig.problems(), *self._not_kept()]
            load = os.getloadavg()[0]
            print(
                f"{number:4} {name}: back after {seconds:.1f} s, load {load:.1f}; {len(problems)} problems", flush=True
            )
            if problems:
                return [f"after {name}, fault {number}: {len(problems)} problems", *problems[:90]]
        return self._finish() if is_final else []

    def _make(self, fault: Callable[[], contextlib.AbstractContextManager[None]], *, is_away: bool) -> float:
        """Make a fault, and return after how many seconds all streams again."""
        self._left.clear()
        self._afterwards.clear()
        self._is_away = is_away
        with contextlib.ExitStack() as stack:
            if is_away:
                stack.enter_context(self._rig.to_database.cut())
                time.sleep(self._rng.uniform(1.0, 4.0))
            with fault():
                time.sleep(self._rng.uniform(1.0, 5.0))
            if is_away:
                time.sleep(self._rng.uniform(0.0, 3.0))
        seconds = self._rig.all_stream()
        for each in self._afterwards:
            each()
        self._await_read()
        return seconds

    def _await_read(self) -> None:
        """What could not be read while the servers were away is read later. Whether it is, the count tells."""
        deadline = time.monotonic() + READ_WITHIN
        while time.monotonic() < deadline:
            positions = self._rig.positions([left.journal.journal_id for left in self._left])
            if all(positions.get(left.journal.journal_id, 0) >= left.safe for left in self._left):
                return
            time.sleep(0.2)

    def _finish(self) -> list[str]:
        """All machines return that have a disk: nothing waits any more, and each event is stored once."""
        for machine in self._rig.away[:]:
            self._rig.owner.end()
            self._replace(machine)
            self._rig.all_stream()
        self._rig.owner.end()
        self._replace()
        self._rig.all_stream()
        problems = self._rig.problems(of_all=True)
        waits = [each.problem() for each in self._rig.elsewhere()]
        print(
            f"machines destroyed lost {self.lost_bytes:,} bytes ({self.lost_frames:,} frames) that were neither copied "
            f"nor stored; {self.kept_bytes:,} bytes that were only copied were read back",
            flush=True,
        )
        return [*problems, *(f"still waits: {each}" for each in waits if each)]

    def table(self) -> str:
        """A report: how often, and how long until all streamed again, at most."""
        return "\n".join(
            f"{times:5} x {kind} (back after {max(self.back[kind]):.1f} s at most)"
            for kind, times in sorted(self.faults.items())
        )

    # What a machine leaves, and what became of it.

    def _take_stock(
        self, machine: Machine, *, is_cut: bool = False, is_destroyed: bool = False, is_older: bool = False
    ) -> None:
        """Note what a machine that stands still leaves; `is_cut` tells that nothing could be copied for a while."""
        for feed in FEEDS:
            journal = machine.journal(feed)
            if journal is None:
                continue
            found = copied(self._rig.servers.urls, f"ticks_{feed}", [journal.journal_id]).get(journal.journal_id)
            committed = self._rig.positions([journal.journal_id]).get(journal.journal_id, 0)
            told = machine.told(feed) if is_cut else None
            not_copied = None if told is None else told.not_copied
            self._left.append(Left(machine.name, feed, journal, found, committed, not_copied, is_destroyed, is_older))

    def _not_kept(self) -> list[str]:
        """Problems with what machines left: all that was copied is stored, and the account says what is not."""
        problems: list[str] = []
        positions = self._rig.positions([left.journal.journal_id for left in self._left])
        said = {each.journal_id: each for each in self._rig.elsewhere()}
        for left in self._left:
            who, journal = f"{left.feed} of {left.machine}", left.journal
            position = positions.get(journal.journal_id, 0)
            self.kept_bytes += max(0, min(position, left.safe) - left.committed)
            if position < left.safe:
                problems.append(f"{who}: copied up to {left.safe}, and loaded up to {position} only")
            is_end = position == journal.end or position in journal.ends
            if not is_end and not left.is_older:
                problems.append(f"{who}: loaded up to {position}, which is no end of a group")
            problems += self._not_stored(who, journal.frames(0, left.safe))
            if left.is_older:
                continue
            if left.told is not None:
                # What was on its way when the links were cut may be in the stream, or not.
                bases = {left.safe, max(left.committed, left.copied.begin if left.copied else 0)}
                recent = set(journal.ends[-400:])
                if not recent & {base + left.told for base in bases}:
                    problems.append(f"{who}: it told {left.told} bytes, and has {journal.end - left.safe}: {bases}")
            each = said.get(journal.journal_id)
            if position < journal.end and each is None:
                problems.append(f"{who}: {journal.end - position} bytes wait there, and the account does not know it")
            if each is not None and position + each.bytes > journal.end:
                problems.append(f"{who}: the account says {each.bytes} bytes, and it had {journal.end - position}")
            if left.is_destroyed:
                self.lost_bytes += journal.end - position
                self.lost_frames += len(journal.frames(position, journal.end))
                if each is not None:
                    self._rig.declare_lost(journal.journal_id)
        return problems

    def _not_stored(self, who: str, frames: list[bytes]) -> list[str]:
        keys = Counter(keys_of(frames))
        if not keys:
            return []
        first, last = (datetime.fromtimestamp(f(at for _, _, at in keys) / 1e3, timezone.utc) for f in (min, max))
        stored = stored_ticks(self._rig.database, first - WHOLE, last + WHOLE)
        missing = {key: count for key, count in keys.items() if stored[key] < count}
        return [f"{who}: {len(missing)} events were copied, and are not stored: {list(missing)[:5]}"] if missing else []

    # Faults. Within the block something is broken.

    def _replace(self, machine: Machine | None = None) -> None:
        """Another machine takes over: this one, or a new one."""
        self._rig.away.append(self._rig.owner)
        if machine is None:
            machine = self._rig.new_machine()
        else:
            self._rig.away.remove(machine)
        self._rig.owner = machine
        machine.start()

    @contextlib.contextmanager
    def _killed(self) -> Iterator[None]:
        self._rig.owner.kill()
        yield
        self._rig.owner.start()

    @contextlib.contextmanager
    def _moved(self) -> Iterator[None]:
        self._rig.owner.kill()
        self._take_stock(self._rig.owner)
        self._replace()
        yield

    @contextlib.contextmanager
    def _ended(self) -> Iterator[None]:
        self._rig.owner.end()
        self._take_stock(self._rig.owner)
        self._replace()
        yield

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[None]:
        self._rig.owner.signal(signal.SIGSTOP)
        yield
        self._rig.owner.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def _frozen_and_replaced(self) -> Iterator[None]:
        old = self._rig.owner
        old.signal(signal.SIGSTOP)
        self._take_stock(old)
        self._replace()
        yield

        def thaw() -> None:
            old.signal(signal.SIGCONT)
            old.await_taken_over()

        self._afterwards.append(thaw)

    @contextlib.contextmanager
    def _silent(self) -> Iterator[None]:
        with self._rig.silent_servers():
            yield

    @contextlib.contextmanager
    def _one_link_cut(self) -> Iterator[None]:
        with self._rng.choice(self._rig.to_servers).cut():
            yield

    @contextlib.contextmanager
    def _links_cut(self) -> Iterator[None]:
        with self._rig.without_servers():
            yield

    @contextlib.contextmanager
    def _server_killed(self) -> Iterator[None]:
        server = self._rng.choice(self._rig.servers.servers)
        server.kill()
        yield
        self._rig.servers.start(server.name)

    @contextlib.contextmanager
    def _bit_flipped(self) -> Iterator[None]:
        """While others must rely on the copy: its machine is killed, and another one reads it."""
        server = self._rng.choice(self._rig.servers.servers)
        with contextlib.nullcontext() if self._is_away else self._rig.to_database.cut():
            time.sleep(self._rng.uniform(0.5, 2.0))
            server.end()
            self._rig.flip(server, self._rng.random())
            self._rig.servers.start(server.name)
            self._rig.owner.kill()
            self._take_stock(self._rig.owner)
            self._replace()
        yield

    @contextlib.contextmanager
    def _disk_full(self) -> Iterator[None]:
        server = self._rng.choice(self._rig.servers.servers)
        assert server.disk is not None
        server.disk.fill()
        yield
        server.disk.free()
        # One whose disk was full has to be started again.
        server.kill()
        self._rig.servers.start(server.name)

    @contextlib.contextmanager
    def _moved_without_servers(self) -> Iterator[None]:
        """The copy cannot be read while the feeds move; it is read later."""
        with contextlib.nullcontext() if self._is_away else self._rig.to_database.cut():
            time.sleep(self._rng.uniform(0.5, 2.0))
            self._rig.owner.kill()
        with self._rig.silent_servers():
            self._take_stock(self._rig.owner)
            self._replace()
            yield
            if not self._is_away:
                self._rig.all_stream()

    @contextlib.contextmanager
    def _older_disk(self) -> Iterator[None]:
        """What it received since is in the database, or in the copy."""
        owner = self._rig.owner
        older = owner.disk.with_name(f"{owner.name}-older")
        owner.signal(signal.SIGSTOP)
        shutil.copytree(owner.disk, older)
        owner.signal(signal.SIGCONT)
        with contextlib.nullcontext() if self._is_away else self._rig.to_database.cut():
            time.sleep(self._rng.uniform(0.5, 2.0))
            owner.kill()
            self._take_stock(owner, is_older=True)
        owner.destroy()
        older.rename(owner.disk)
        owner.start()
        yield

    @contextlib.contextmanager
    def _returned(self) -> Iterator[None]:
        with self._return(self._rng.choice(self._rig.away)) if self._rig.away else self._moved():
            yield

    @contextlib.contextmanager
    def _return(self, machine: Machine) -> Iterator[None]:
        """A machine takes over from the one that has its feeds, which is told by the database."""
        old = self._rig.owner
        self._replace(machine)
        self._afterwards.append(old.await_taken_over)
        yield

    @contextlib.contextmanager
    def _destroyed(self) -> Iterator[None]:
        """What it had and had not copied is lost; half of the time, nothing could be copied at the end."""
        owner, is_cut = self._rig.owner, self._rng.random() < 0.5
        with self._rig.without_servers() if is_cut else contextlib.nullcontext():
            time.sleep(self._rng.uniform(0.5, 2.0))
            owner.signal(signal.SIGSTOP)
            self._take_stock(owner, is_cut=is_cut, is_destroyed=True)
            owner.destroy()
        self._rig.owner = self._rig.new_machine()
        self._rig.owner.start()
        yield
