"""Which candles are proven: that they equal all that was received and repaired by a moment.

`received_until` says by which moment, before candles are compared with their ticks; `record` notes what is proven after
that. `sql/candles/proven_candle.sql` shows it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from psycopg2 import sql

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import reconciliation
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.candles.reconciliation import Comparison, Reconciliation

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

BUDGET = 1_500_000
"""Candles of a minute that are looked at, at a time: about a second."""
PATIENCE = 10.0
"""Seconds to wait for the owner of a journal to tell of it, which it does every two seconds."""
_LOOK = 0.25
_UNTOLD = timedelta(seconds=30)
"""For so long before it was heard of, the end of a journal may have been looked up, where nobody tells of it again."""
_LEVELS_AT_ONCE = 500

Untils = Mapping[str, datetime]
"""By feed: the moment by which everything that it had received is loaded."""


def received_until(cursor: Cursor, *, patience: float = PATIENCE) -> dict[str, datetime]:
    """By which moment all that was received is loaded, of each feed of which that can be said.

    An owner looks up how far its journal goes, and then tells; so what it had received when it told the last time is in
    what it tells now. Waits for that. The caller must not be in a transaction.
    """
    deadline = time.monotonic() + patience
    found: dict[str, datetime] = {}
    heard: dict[str, datetime] = {}
    while True:
        cursor.execute(sql_files.read("queries/candle_proof/loaded_until.sql"))
        waiting = False
        for feed, until, is_open in cursor.fetchall():
            if feed in found:
                continue
            if until is None:
                waiting = True
            elif not is_open:
                found[feed] = until
            elif feed in heard and until > heard[feed]:
                found[feed] = heard[feed]
            else:
                heard.setdefault(feed, until)
                waiting = True
        if not waiting or time.monotonic() >= deadline:
            return {**{feed: until - _UNTOLD for feed, until in heard.items()}, **found}
        time.sleep(_LOOK)


def note_true_ups(cursor: Cursor, feeds: Mapping[str, bool]) -> None:
    """Note of feeds whether their days are trued up: candles of those that are not are final without it."""
    parameters = {"feeds": list(feeds), "trues_up": list(feeds.values())}
    cursor.execute(sql_files.read("queries/candle_proof/note_true_ups.sql"), parameters)


def record(cursor: Cursor, untils: Untils, compared: Reconciliation, *, budget: int = BUDGET) -> None:
    """Note what is proven now. `untils` is from before the candles were `compared`. Not within a transaction."""
    _note_differing(cursor, ONE_MINUTE.name, compared.found.spans, compared.left)
    cursor.execute(sql_files.read("queries/candle_proof/has_materialization_ranges.sql"))
    (has_ranges,) = cursor.fetchone() or (False,)
    ranges = sql.SQL(sql_files.read("queries/candle_proof/materialization_ranges.sql") if has_ranges else "")
    query = sql_files.compose("queries/candle_proof/due_proofs.sql", ranges=ranges)
    parameters = {"feeds": list(untils), "untils": list(untils.values()), "budget": budget}
    cursor.execute(query, parameters)
    rows = cursor.fetchall()
    if rows:
        begins, ends, feeds, loaded, gone, fingerprints, hashes, proven_at = map(list, zip(*rows, strict=True))
        parameters = {
            "begins": begins,
            "ends": ends,
            "feeds": feeds,
            "loaded": loaded,
            "gone": gone,
            "fingerprints": [None if each is None else str(each) for each in fingerprints],
            "hashes": [str(each) for each in hashes],
            "proven_at": proven_at,
        }
        cursor.execute(sql_files.read("queries/candle_proof/record_proofs.sql"), parameters)
    for candle in (ONE_HOUR, ONE_DAY):
        parameters = {"candle": candle.name, "width": candle.bucket, "limit": _LEVELS_AT_ONCE}
        cursor.execute(sql_files.read("queries/candle_proof/due_levels.sql"), parameters)
        due = cursor.fetchall()
        if not due:
            continue
        spans = [(bucket, bucket + candle.bucket) for bucket, _, _ in due]
        differing = reconciliation.differing_levels(cursor, candle, spans)
        _note_differing(cursor, candle.name, spans, differing)
        right = [row for row in due if row[0] not in differing.buckets]
        if right:
            parameters = {
                "candle": candle.name,
                "buckets": [bucket for bucket, _, _ in right],
                "loaded": [loaded for _, loaded, _ in right],
                "fingerprints": [str(fingerprint) for _, _, fingerprint in right],
            }
            cursor.execute(sql_files.read("queries/candle_proof/record_levels.sql"), parameters)


def _note_differing(
    cursor: Cursor, candle: str, spans: Sequence[tuple[datetime, datetime]], differing: Comparison
) -> None:
    parameters = {
        "candle": candle,
        "begins": [begin for begin, _ in spans],
        "ends": [end for _, end in spans],
        "buckets": list(differing.buckets),
    }
    cursor.execute(sql_files.read("queries/candle_proof/note_differing.sql"), parameters)
