"""Compares what the stand-in sent, what is in the journals, and what is in the tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ticks_platform.ingestion import audit
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.rows.tables import JOURNAL_BITS, POSITION_BITS
from ticks_platform_tests.faults.events import Fate, Row, Tape, digest
from ticks_platform_tests.faults.ingester import FEED, Group, Takeover
from ticks_standin import ConnectionAccount

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_SHOWN = 5
"""Examples per kind of problem."""


class Count(NamedTuple):
    """Numbers of a campaign, and the problems that were found."""

    connections: int
    sent: int
    journalled: int
    ticks: int
    rejected: int
    control: int
    problems: list[str]


class _Place(NamedTuple):
    """A frame's journal and its position there."""

    journal: str
    position: int


class _Noted(NamedTuple):
    groups: list[Group]
    takeovers: dict[int, Takeover]
    """By epoch."""
    problems: list[str]


def count(
    cursor: Cursor,
    *,
    tape: Tape,
    sent: Collection[ConnectionAccount],
    side_file: Path,
    journals: Collection[Path],
    unclean_runs: Collection[int],
) -> Count:
    """Compare everything, over all journals. `unclean_runs` are the runs that did not end cleanly.

    The cursor must not be in a transaction.
    """
    noted = _read(side_file)
    problems = [*noted.problems, *_chain(noted)]
    frames = _match(noted, sent, unclean_runs, problems)
    expected: dict[Fate | type[Row], dict[_Place, object]] = {Row: {}, Fate.REJECTED: {}, Fate.CONTROL: {}}
    for place, payload in frames.items():
        fate = tape.fate(payload)
        if isinstance(fate, Row):
            expected[Row][place] = fate
        else:
            expected[fate][place] = payload
    numbers = _numbers(cursor, journals)
    problems += _compare("ticks", expected[Row], _ticks(cursor, numbers))
    problems += _compare("rejected events", expected[Fate.REJECTED], _rejected(cursor, numbers))
    problems += [problem for account in audit.accounts(cursor) for problem in account.problems()]
    seen = Counter(place.journal for place in frames)
    for journal in journals:
        problems += _audit(cursor, journal, seen[str(journal)])
    if sorted(numbers.values()) != sorted(map(str, journals)):
        problems.append(f"the database knows the journals {numbers}")
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
    """The notes of all runs; a group may be noted several times, but must be the same each time."""
    groups: dict[_Place, Group] = {}
    takeovers: list[Takeover] = []
    problems = []
    for line in side_file.read_bytes().splitlines():
        try:
            note = msgspec.json.decode(line, type=Takeover | Group)
        except msgspec.DecodeError:
            continue  # cut short by a kill: the next run noted it again
        if isinstance(note, Takeover):
            takeovers.append(note)
        elif groups.setdefault(_Place(note.journal, note.position), note) != note:
            problems.append(f"two different groups of frames were in {note.journal} at position {note.position}")
    # An epoch whose transaction was rolled back is assigned again: the last run had it.
    last = {takeover.epoch: takeover for takeover in sorted(takeovers, key=lambda takeover: takeover.at)}
    return _Noted([groups[place] for place in sorted(groups)], last, problems)


def _chain(noted: _Noted) -> list[str]:
    """Check that each group begins at the end of the one before; otherwise there were frames that nobody noted.

    The first one begins at the position of the journal's first takeover.
    """
    ends = {takeover.journal: takeover.position for _, takeover in sorted(noted.takeovers.items(), reverse=True)}
    problems = []
    for group in noted.groups:
        end = ends.get(group.journal)
        if group.position != end:
            problems.append(f"{group.journal} has frames between {end} and {group.position} that no run noted")
        ends[group.journal] = group.end
    return problems


def _match(
    noted: _Noted, sent: Collection[ConnectionAccount], unclean_runs: Collection[int], problems: list[str]
) -> dict[_Place, bytes]:
    """The frames in the journals, by place. Checks that they are a prefix of what was sent on their connection.

    They must be all of it, if the connection was closed with a handshake and the run ended cleanly.
    """
    arrived: dict[str, list[Group]] = defaultdict(list)
    for group in noted.groups:
        takeover = noted.takeovers.get(group.epoch)
        arrived[f"RUN{takeover and takeover.run}C{group.connection}"].append(group)
    connections = {symbol: each for each in sent for symbol in each.subscribed if "C" in symbol and "RUN" in symbol}
    last = {name.partition("C")[0]: name for name in sorted(connections, key=_by_number)}
    exempt = {last[f"RUN{run}"] for run in unclean_runs if f"RUN{run}" in last}
    frames: dict[_Place, bytes] = {}
    for name, connection in connections.items():
        groups = arrived.pop(name, [])
        payloads = iter(connection.sent)
        for group in groups:
            position = group.position
            for seen, payload in zip(group.digests, payloads, strict=False):
                if seen != digest(payload):
                    problems.append(f"{name}: the journal's frame at {position} is not the one sent: {payload[:80]!r}")
                frames[_Place(group.journal, position)] = payload
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


def _numbers(cursor: Cursor, journals: Collection[Path]) -> dict[int, str]:
    """The journals that the database knows, by number."""
    files = {}
    for journal in journals:
        with journal_view(journal) as state:
            files[state.journal_id] = str(journal)
    cursor.execute("SELECT journal_number, journal_id FROM ticks_platform.feed_checkpoint")
    return {number: files.get(journal_id, journal_id) for number, journal_id in cursor.fetchall()}


def _ticks(cursor: Cursor, numbers: Mapping[int, str]) -> Counter[tuple[_Place, object]]:
    cursor.execute(
        "SELECT tick_id, symbol, price, (extract(epoch FROM time) * 1000000)::bigint, day_volume FROM stocks_real_time"
    )
    found: Counter[tuple[_Place, object]] = Counter()
    for tick_id, *row in cursor.fetchall():
        rest, number = divmod(int(tick_id.replace("-", ""), 16), 1 << JOURNAL_BITS)
        found[_Place(numbers.get(number, "?"), rest % (1 << POSITION_BITS)), Row(*row)] += 1
    return found


def _rejected(cursor: Cursor, numbers: Mapping[int, str]) -> Counter[tuple[_Place, object]]:
    cursor.execute("SELECT journal_number, position, raw FROM ticks_platform.rejected_event")
    return Counter(
        (_Place(numbers.get(number, "?"), position), bytes(raw)) for number, position, raw in cursor.fetchall()
    )


def _compare(what: str, expected: Mapping[_Place, object], found: Counter[tuple[_Place, object]]) -> list[str]:
    must_be = set(expected.items())
    journals: dict[object, set[str]] = {}
    for place, event in found:
        journals.setdefault(event, set()).add(place.journal)
    kinds = {
        # Two machines may have received an event; it is stored from one of their journals.
        "missing": {
            (place, event)
            for place, event in must_be - found.keys()
            if not journals.get(event, set()) - {place.journal}
        },
        "that should not be there": found.keys() - must_be,
        "stored more than once": {key for key, times in found.items() if times > 1},
    }
    return [
        f"{len(items)} {what} {kind}: {', '.join(f'{item!r:.160}' for item in sorted(items, key=str)[:_SHOWN])}"
        for kind, items in kinds.items()
        if items
    ]


def _audit(cursor: Cursor, journal: Path, frames: int) -> list[str]:
    """Check that the platform's own account of a journal has no problems, and the same numbers."""
    account = audit.journal_account(cursor, FEED, journal)
    if account is None:
        return [f"the database does not know {journal}"]
    problems = account.problems()
    if account.waiting:
        problems.append(f"{account.waiting} frames wait in {journal}")
    if account.appended != frames:
        problems.append(f"{account.appended} frames were appended to {journal}, but {frames} were noted")
    return problems
