"""Compares the server's account with the tables; what it asks of them is its own, and none of the platform's code."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform_tests.field.market import Fate, Key
from ticks_platform_tests.field.server import Sent

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

EDGE = 0.05
"""Seconds by which a missing event may be outside of its gap: what passes between two readings of a clock."""

_SHOWN = 6

_TICKS = """
SELECT feed, symbol, round(extract(epoch FROM time) * 1000000)::bigint, price, size, trade_id, count(*)
FROM stocks_real_time
GROUP BY 1, 2, 3, 4, 5, 6
"""

_GAPS = """
SELECT feed, symbol, extract(epoch FROM begins_at)::float8, coalesce(extract(epoch FROM ends_at), 'infinity')::float8,
    extract(epoch FROM coalesce(ends_at, now()) - begins_at)::float8
FROM ticks_platform.feed_gap
ORDER BY 3
"""

_SUMS = """
SELECT feed, sum(events), sum(loaded), sum(duplicate), sum(rejected), sum(control), sum(replaced),
    (SELECT count(*) FROM stocks_real_time WHERE stocks_real_time.feed = feed_ledger.feed)
        + (SELECT count(*) FROM stock_aggregates WHERE stock_aggregates.feed = feed_ledger.feed)
        + (SELECT count(*) FROM tick_correction WHERE tick_correction.feed = feed_ledger.feed),
    (SELECT count(*) FROM ticks_platform.rejected_event WHERE rejected_event.feed = feed_ledger.feed)
FROM ticks_platform.feed_ledger
GROUP BY feed
"""


_TELLING = (
    "stocks_real_time",
    *(
        f"ticks_platform.{table}"
        for table in (
            "feed_coverage",
            "feed_gap",
            "feed_handover",
            "feed_ledger",
            "feed_session",
            "feed_symbol",
            "rejected_event",
        )
    ),
)


class Count(NamedTuple):
    """Numbers of a campaign, and the problems that were found."""

    events: int
    handed: int
    """How often an event was handed to a socket."""
    stored: int
    rejected: int
    in_gaps: int
    """Events that are not stored, and lie in a gap."""
    unseen: int
    """Of these, events that the market had while nobody was connected."""
    gaps: int
    seconds_of_gaps: float
    """Of the feed with the most."""
    problems: list[str]


class Gaps:
    """The known gaps of one symbol."""

    def __init__(self) -> None:
        self._begins: list[float] = []
        self._ends: list[float] = []
        """The latest end of the gaps that begin no later."""
        self.seconds = 0.0

    def add(self, begin: float, end: float) -> None:
        """Add one; they come in order."""
        self._begins.append(begin)
        self._ends.append(max(end, self._ends[-1] if self._ends else end))

    def near(self, at: float) -> list[str]:
        """Those within five seconds, relative to this time."""
        return [
            f"{begin - at:+.3f} to {end - at:+.3f}"
            for begin, end in zip(self._begins, self._ends, strict=True)
            if begin - 5 < at < end + 5
        ]

    def hold(self, at: float) -> bool:
        """Whether a time lies in one of them."""
        place = bisect_right(self._begins, at + EDGE)
        return place > 0 and self._ends[place - 1] >= at - EDGE


def count(
    cursor: Cursor, sent: Sequence[Sent], told: Mapping[str, int] | None = None, corrected: Collection[Key] = ()
) -> Count:
    """Compare everything.

    `told` is how many events of a feed's past the server told beside its stream. Those that are `corrected` were never
    streamed: a true-up by bars does not ask for one that changes no bar.
    """
    gaps = known_gaps(cursor)
    problems: list[str] = []
    in_gaps = unseen = 0
    cursor.execute(_TICKS)
    stored = Counter({Key(*row[:6]): row[6] for row in cursor.fetchall()})
    market: dict[Key, list[Sent]] = defaultdict(list)
    for each in sent:
        if isinstance(each.event.key, Key):
            market[each.event.key].append(each)
    lost: list[Sent] = []
    for key, events in market.items():
        missing = len(events) - stored.get(key, 0)
        if missing <= 0 or key in corrected:
            continue
        excused = [each for each in events if _is_in_gap(each, gaps)]
        in_gaps += missing
        unseen += sum(not each.handed for each in excused)
        if len(excused) < missing:
            lost += [each for each in events if each not in excused]
    shown = (f"{_shown(each)}; {_near(each, gaps)}" for each in lost[:: max(1, len(lost) // _SHOWN)])
    _tell(problems, "events are neither stored nor in a gap", shown, len(lost))
    doubled = [key for key, number in stored.items() if key in market and number > len(market[key])]
    _tell(problems, "events are stored more often than the market had them", map(repr, doubled), len(doubled))
    unknown = [key for key in stored if key not in market]
    _tell(problems, "rows are of no event of the market", map(repr, unknown), len(unknown))
    rejected, also = _rejected(cursor, sent, gaps, problems)
    problems += _sums(cursor, sent, told or {})
    return Count(
        events=len(sent),
        handed=sum(len(each.handed) for each in sent),
        stored=stored.total(),
        rejected=rejected,
        in_gaps=in_gaps + also,
        unseen=unseen,
        gaps=sum(len(each._begins) for each in gaps.values()),
        seconds_of_gaps=max((each.seconds for each in gaps.values()), default=0.0),
        problems=problems,
    )


def leave(cursor: Cursor, sent: Sequence[Sent], folder: Path) -> None:
    """Leave the server's account, and the tables that tell of a problem, in a folder, as CSV."""
    (folder / "sent.txt").write_text("\n".join(map(_shown, sent)), encoding="utf-8")
    for table in _TELLING:
        with (folder / f"{table}.csv").open("w", encoding="utf-8") as file:
            cursor.copy_expert(f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT csv, HEADER)", file)


def known_gaps(cursor: Cursor) -> dict[tuple[str, str], Gaps]:
    """All gaps that ever were, by feed and symbol."""
    cursor.execute(_GAPS)
    found: dict[tuple[str, str], Gaps] = defaultdict(Gaps)
    for feed, symbol, begin, end, seconds in cursor.fetchall():
        found[feed, symbol].add(begin, end)
        found[feed, symbol].seconds += seconds
    return found


def _is_in_gap(each: Sent, gaps: dict[tuple[str, str], Gaps]) -> bool:
    """Whether an event lies in a gap of its symbol, or of the whole market where all of it is asked for."""
    key = each.event.key
    feed = each.event.feed
    names = {key.symbol, "*"} if isinstance(key, Key) else {symbol for of, symbol in gaps if of == feed}
    times = [each.at, *each.handed]
    return any(gaps[feed, name].hold(at) for name in names if (feed, name) in gaps for at in times)


def _rejected(
    cursor: Cursor, sent: Sequence[Sent], gaps: dict[tuple[str, str], Gaps], problems: list[str]
) -> tuple[int, int]:
    """How many events were rejected, and how many of those that had to be are in gaps."""
    cursor.execute("SELECT feed, raw, reason FROM ticks_platform.rejected_event")
    must = {str(each.event.key): each for each in sent if each.event.fate is Fate.REJECTED}
    found: Counter[str] = Counter()
    others = []
    rows = cursor.fetchall()
    for feed, raw, reason in rows:
        mark = _mark(bytes(raw))
        if mark in must:
            found[mark] += 1
        else:
            others.append(f"{feed}: {reason}: {bytes(raw)[:200]!r}")
    _tell(problems, "good events were rejected", others, len(others))
    gone = [each for mark, each in must.items() if not found[mark] and each.handed]
    lost = [each for each in gone if not _is_in_gap(each, gaps)]
    _tell(problems, "bad events are neither in rejected_event nor in a gap", map(_shown, lost), len(lost))
    often = [mark for mark, number in found.items() if number > len(must[mark].handed)]
    _tell(problems, "bad events were rejected more often than they were sent", often, len(often))
    return len(rows), len(gone) - len(lost)


def _mark(raw: bytes) -> str:
    return "#" + raw.split(b"#")[1].decode() + "#" if raw.count(b"#") >= 2 else ""


def _sums(cursor: Cursor, sent: Sequence[Sent], told: Mapping[str, int]) -> list[str]:
    """Compare the ledger with the tables, and with what was handed to the sockets."""
    handed = Counter(told)
    for each in sent:
        handed[each.event.feed] += len(each.handed)
    problems = []
    cursor.execute(_SUMS)
    for feed, *numbers in cursor.fetchall():
        events, loaded, duplicate, rejected, control, replaced, ticks, refused = map(int, numbers)
        if events != loaded + duplicate + rejected + control + replaced:
            problems.append(f"feed {feed}: the ledger has {events} events, which is not the sum of what became of them")
        if loaded != ticks:
            problems.append(f"feed {feed}: the ledger says {loaded} loaded, the tables have {ticks}")
        if rejected != refused:
            problems.append(f"feed {feed}: the ledger says {rejected} rejected, the table has {refused}")
        if events - control > handed[feed]:
            problems.append(f"feed {feed}: the ledger has {events - control} events, but {handed[feed]} were sent")
    return problems


def _tell(problems: list[str], what: str, examples: Iterable[str], number: int) -> None:
    if number:
        shown = [example[:600] for _, example in zip(range(_SHOWN), examples, strict=False)]
        problems.append(f"{number} {what}:\n    " + "\n    ".join(shown))


def _near(each: Sent, gaps: dict[tuple[str, str], Gaps]) -> str:
    key = each.event.key
    assert isinstance(key, Key)
    near = [
        text for name in (key.symbol, "*") if (key.feed, name) in gaps for text in gaps[key.feed, name].near(each.at)
    ]
    return f"gaps near it: {near}"


def _shown(each: Sent) -> str:
    return f"{each.event} at {each.at:.3f}, handed over at {[round(at, 3) for at in each.handed]}"
