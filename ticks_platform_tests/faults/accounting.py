"""The count at the end: what the stand-in sent, what reached the journal, what is in the tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ticks_platform.ingestion import audit
from ticks_platform.ingestion.journal import snapshot
from ticks_platform.ingestion.tick_id import JOURNAL_BITS, POSITION_BITS
from ticks_platform.standin import ConnectionAccount
from ticks_platform_tests.faults.events import Fate, Row, Tape
from ticks_platform_tests.faults.ingester import FEED, Claim, Group, digest

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_SHOWN = 5
"""Examples of a kind of problem that are shown."""


class Count(NamedTuple):
    """Numbers of a campaign, and everything that is wrong with them."""

    connections: int
    sent: int
    journalled: int
    ticks: int
    rejected: int
    control: int
    problems: list[str]


class _Noted(NamedTuple):
    groups: list[Group]
    run_of: dict[int, int]
    problems: list[str]


def count(
    cursor: Cursor,
    *,
    tape: Tape,
    sent: Collection[ConnectionAccount],
    side_file: Path,
    journal: Path,
    broken_off: Collection[int],
) -> Count:
    """Compare everything with everything. `broken_off` are the runs that did not end cleanly.

    The cursor must not be in a transaction.
    """
    noted = _read(side_file)
    problems = [*noted.problems, *_chain(noted.groups)]
    frames = _match(noted, sent, broken_off, problems)
    expected: dict[Fate | type[Row], dict[int, object]] = {Row: {}, Fate.REJECTED: {}, Fate.CONTROL: {}}
    for position, payload in frames.items():
        fate = tape.fate(payload)
        if isinstance(fate, Row):
            expected[Row][position] = fate
        else:
            expected[fate][position] = payload
    problems += _compare("ticks", expected[Row], _ticks(cursor))
    problems += _compare("rejected events", expected[Fate.REJECTED], _rejected(cursor))
    problems += _audit(cursor, journal, len(frames))
    return Count(
        connections=len(sent),
        sent=sum(len(connection.sent) for connection in sent),
        journalled=len(frames),
        ticks=len(expected[Row]),
        rejected=len(expected[Fate.REJECTED]),
        control=len(expected[Fate.CONTROL]),
        problems=problems,
    )


def _read(side_file: Path) -> _Noted:
    """What the runs noted; the same group may have been noted several times, and has to be the same each time."""
    groups: dict[int, Group] = {}
    claims: list[Claim] = []
    problems = []
    for line in side_file.read_bytes().splitlines():
        try:
            note = msgspec.json.decode(line, type=Claim | Group)
        except msgspec.DecodeError:
            continue  # cut short by a kill: whoever came next noted it again
        if isinstance(note, Claim):
            claims.append(note)
        elif groups.setdefault(note.position, note) != note:
            problems.append(f"two different groups of frames stood in the journal at position {note.position}")
    # An epoch whose transaction was rolled back is given again, to whoever comes next: the last one had it.
    run_of = {claim.epoch: claim.run for claim in sorted(claims, key=lambda claim: claim.at)}
    return _Noted([groups[position] for position in sorted(groups)], run_of, problems)


def _chain(groups: Iterable[Group]) -> list[str]:
    """Each group begins where the one before ended, or frames were in the journal that nobody has seen."""
    end, problems = 0, []
    for group in groups:
        if group.position != end:
            problems.append(f"between {end} and {group.position} the journal held something else")
        end = group.end
    return problems


def _match(
    noted: _Noted, sent: Collection[ConnectionAccount], broken_off: Collection[int], problems: list[str]
) -> dict[int, bytes]:
    """Every frame that reached the journal, by its position: of each connection a prefix of what was sent on it.

    All of it, if the connection was closed with a handshake and the run was there to the end.
    """
    arrived: dict[str, list[Group]] = defaultdict(list)
    for group in noted.groups:
        arrived[f"RUN{noted.run_of.get(group.epoch)}C{group.connection}"].append(group)
    connections = {symbol: each for each in sent for symbol in each.subscribed if "C" in symbol and "RUN" in symbol}
    last = {name.partition("C")[0]: name for name in sorted(connections, key=_by_number)}
    exempt = {last[f"RUN{run}"] for run in broken_off if f"RUN{run}" in last}
    frames: dict[int, bytes] = {}
    for name, connection in connections.items():
        groups = arrived.pop(name, [])
        payloads = iter(connection.sent)
        for group in groups:
            position = group.position
            for seen, payload in zip(group.digests, payloads, strict=False):
                if seen != digest(payload):
                    problems.append(f"{name}: the journal's frame at {position} is not the one sent: {payload[:80]!r}")
                frames[position] = payload
                position += len(payload) or 1
            if position != group.end:
                problems.append(f"{name}: the journal's frames at {group.position} end at {group.end}, not {position}")
        missing = len(connection.sent) - sum(len(group.digests) for group in groups)
        if missing < 0:
            problems.append(f"{name}: {-missing} frames in the journal were never sent")
        if missing > 0 and connection.ending == "closed" and name not in exempt:
            problems.append(f"{name}: closed with a handshake, but {missing} of {len(connection.sent)} did not arrive")
    problems += [f"{name} is in the journal, but unknown to the stand-in" for name in arrived]
    return frames


def _by_number(name: str) -> tuple[int, int]:
    run, _, connection = name.removeprefix("RUN").partition("C")
    return int(run), int(connection)


def _ticks(cursor: Cursor) -> Counter[tuple[int, object]]:
    cursor.execute(
        "SELECT tick_id, symbol, price, (extract(epoch FROM time) * 1000000)::bigint, day_volume FROM stocks_real_time"
    )
    mask = (1 << POSITION_BITS) - 1
    return Counter(
        (int(tick_id.replace("-", ""), 16) >> JOURNAL_BITS & mask, Row(*row)) for tick_id, *row in cursor.fetchall()
    )


def _rejected(cursor: Cursor) -> Counter[tuple[int, object]]:
    cursor.execute("SELECT position, raw FROM ticks_platform.rejected_event")
    return Counter((position, bytes(raw)) for position, raw in cursor.fetchall())


def _compare(what: str, expected: Mapping[int, object], found: Counter[tuple[int, object]]) -> list[str]:
    wanted = set(expected.items())
    kinds = {
        "missing": wanted - found.keys(),
        "that should not be there": found.keys() - wanted,
        "stored more than once": {key for key, times in found.items() if times > 1},
    }
    return [
        f"{len(items)} {what} {kind}: {', '.join(f'{item!r:.160}' for item in sorted(items, key=str)[:_SHOWN])}"
        for kind, items in kinds.items()
        if items
    ]


def _audit(cursor: Cursor, journal: Path, frames: int) -> list[str]:
    """What the platform says of itself has to be without problems too, and of the same numbers."""
    problems = [problem for account in audit.accounts(cursor) for problem in account.problems()]
    account = audit.journal_account(cursor, FEED, journal)
    if account is None:
        return [*problems, "the database does not know the journal"]
    problems += account.problems()
    if account.waiting:
        problems.append(f"{account.waiting} frames wait in the journal")
    cursor.execute("SELECT count(*) FROM ticks_platform.feed_checkpoint")
    journals = cursor.fetchall()[0][0]
    if journals != 1:
        problems.append(f"there were {journals} journals, not one")
    with snapshot(journal) as state:
        if state.frames_appended != frames:
            problems.append(f"the journal took in {state.frames_appended} frames, {frames} were seen in it")
    return problems
