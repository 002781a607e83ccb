"""The SQL files under ``sql/``: definitions, one object a file and idempotent, and in ``queries/`` what is asked.

All DDL of the platform is in them, and every statement that does not fit on a line.
"""

from __future__ import annotations

import csv
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg2 import sql

from ticks_platform.paths import project_root, shipped

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

MACHINERY = (
    "schema/ticks_platform.sql",
    "schema/feed.sql",
    "schema/feed_lease.sql",
    "schema/feed_handover.sql",
    "schema/feed_checkpoint.sql",
    "schema/feed_ledger.sql",
    "schema/feed_gone.sql",
    "schema/feed_hour.sql",
    "schema/proven_hour.sql",
    "schema/proven_slice.sql",
    "schema/touched_slice.sql",
    "schema/wrong_hour.sql",
    "schema/proven_candles.sql",
    "schema/candle_proof.sql",
    "schema/level_proof.sql",
    "schema/differing_candle.sql",
    "schema/loaded_until.sql",
    "schema/proven_times.sql",
    "schema/level_unproven.sql",
    "schema/judged_candles.sql",
    "schema/sealed_chunk.sql",
    "schema/unsealed_chunk.sql",
    "schema/candle_refresh.sql",
    "schema/feed_session.sql",
    "schema/feed_channel.sql",
    "schema/feed_symbol.sql",
    "schema/wildcard_symbol.sql",
    "schema/feed_coverage.sql",
    "schema/feed_gap.sql",
    "schema/rejected_event.sql",
    "schema/malformed_field.sql",
    "schema/feed_repair.sql",
    "schema/feed_repair_lease.sql",
    "schema/feed_repair_request.sql",
    "schema/feed_true_up.sql",
    "schema/feed_import.sql",
    "schema/market_session.sql",
    "schema/symbol_calendar.sql",
    "schema/symbol_proof.sql",
    "schema/missing_by_day.sql",
    "schema/trade_condition.sql",
    "schema/instrument_reference.sql",
    "schema/corporate_action_check.sql",
    "schema/price_adjustment.sql",
    "schema/adoption.sql",
)
"""What ingestion needs beside the hypertable, in the order of their references."""

HYPERTABLE = (
    "schema/timescaledb.sql",
    "schema/ticks_platform.sql",
    "schema/keep_day_volume_whole.sql",
    "schema/tick_order.sql",
    "schema/tick_hash.sql",
    "schema/fingerprint_version.sql",
    "schema/fill_fingerprint.sql",
    "schema/candles_hash.sql",
    "schema/candle_state.sql",
    "schema/end_proofs.sql",
    "schema/manual_tick_id.sql",
    "schema/stocks_real_time.sql",
    "schema/chunk_identities.sql",
    "schema/stock_quotes.sql",
    "schema/stock_aggregates.sql",
    "schema/official_price.sql",
    "schema/tick_correction.sql",
    "schema/trading_halt.sql",
    "schema/corporate_action.sql",
    "schema/instrument.sql",
    "schema/round_lot.sql",
    "schema/product.sql",
)

CORPORATE_ACTIONS = ("schema/corporate_action.sql", "schema/corporate_action_check.sql")
"""What is stored of splits and dividends."""

RETENTION = (
    "schema/own_search_path.sql",
    "schema/droppable_chunks.sql",
    "schema/candles_behind.sql",
    "schema/drop_old_chunks.sql",
    "schema/check_drop_old_chunks.sql",
)
"""What drops old chunks, and not before their candles are up to them."""

NOTES = ("schema/delete_old_notes.sql", "schema/check_delete_old_notes.sql")
"""What deletes old notes about feeds."""

CANDLE_REASONS = (
    "schema/gaps_within.sql",
    "schema/coverage_within.sql",
    "schema/halted_times.sql",
    "schema/candle_reasons.sql",
    "schema/why_no_candle.sql",
    "schema/explain_conditions.sql",
    "schema/explain_difference.sql",
    "schema/explain_ticks.sql",
    "schema/explain_refresh.sql",
    "schema/explain_reception.sql",
    "schema/derived_volumes.sql",
    "schema/explain_candle.sql",
    "schema/dropped_ticks.sql",
    "schema/candles_as_of.sql",
)
"""The functions that tell where a candle comes from, what it was, or why there is none. They read candles, which have
to exist."""

MAY_BE_OVERRIDDEN = ("candles", "queries/checks")
"""Folders of ``sql/`` of which a project may replace files by its own of the same name."""

_DDL_LOCK = 0x7469636B  # "tick"


def read(name: str) -> str:
    """The text of a file under ``sql/``: the project's own where it has one and may, or else the platform's.

    Raises FileNotFoundError, naming the file.
    A file that has not changed is not read again: statements are read each time that they are executed.
    """
    path = shipped("sql") / name
    if name.startswith(MAY_BE_OVERRIDDEN):
        own = project_root() / "sql" / name
        path = own if own.is_file() else path
    found = path.stat()
    return _text(path, found.st_mtime_ns, found.st_size, found.st_ino)


def table_rows(name: str) -> list[dict[str, str]]:
    """The rows that come with a table: those of the CSV file beside its SQL file, which has them as ``%(rows)s``."""
    path = (shipped("sql") / name).with_suffix(".csv")
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def compose(name: str, **parts: sql.Composable) -> sql.Composed:
    """A file under ``sql/`` with its ``{placeholders}`` filled in, for names that cannot be parameters."""
    return sql.SQL(read(name)).format(**parts)


def overrides(project: Path) -> tuple[list[str], list[str]]:
    """The files under ``sql/`` of a project: those that replace the platform's, and those that replace nothing."""
    folder, ours = project / "sql", shipped("sql")
    if not folder.is_dir() or folder.samefile(ours):
        return [], []
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.sql"))
    used = [name for name in names if name.startswith(MAY_BE_OVERRIDDEN) and (ours / name).is_file()]
    return used, [name for name in names if name not in used]


@lru_cache(maxsize=512)
def _text(path: Path, *_version: int) -> str:
    return path.read_text(encoding="utf-8")


def apply(cursor: Cursor, *names: str) -> None:
    """Execute files under ``sql/`` in the cursor's transaction, one applier at a time.

    ``IF NOT EXISTS`` alone does not stand two appliers at once: both may find nothing, and one then fails. The
    search_path is resolved first, as CREATE EXTENSION does it for its scripts: functions keep the one that they are
    created with (``SET search_path FROM CURRENT``).
    """
    cursor.execute("SELECT pg_advisory_xact_lock(%s), current_setting('search_path')", (_DDL_LOCK,))
    (_, sessions_path) = cursor.fetchone() or (None, None)
    cursor.execute(read("queries/server/resolved_search_path.sql"))
    cursor.execute("SELECT set_config('search_path', %s, true)", cursor.fetchone())
    for name in names:
        rows = table_rows(name)
        cursor.execute(read(name), {"rows": json.dumps(rows)} if rows else None)
    cursor.execute("SELECT set_config('search_path', %s, true)", (sessions_path,))
