"""Replace the dump by one of another commit: ``python -m ticks_platform_tests.upgrade.make_dump REVISION``.

It takes four minutes: the code of that commit runs in a worktree of its own, on an embedded database, with its own
stand-in (see `recording`). Review the differences, then run the tests of this folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import embedded_timescale
from ticks_platform.timescale.database import Database
from ticks_platform_tests.upgrade import dump, recording
from ticks_platform_tests.upgrade.dump import CANDLES, FOLDER, VIEWS, Rows

FEEDS = """\
# What the dumped database was filled from.
feeds:
  stocks:
    provider: twelve_data
    endpoint: stand-in
    symbols:
      - {symbol: AAPL, name: Apple}
      - {symbol: BTC/USD, name: Bitcoin}
      - {symbol: NOPE, name: Nobody}
  tape:
    provider: polygon
    endpoint: stand-in
    options: {market: stocks, channels: [T, Q, AM]}
    repair: {delay_seconds: 0}
    symbols: {NVDA: NVIDIA, TSLA: Tesla}
  coins:
    provider: twelve_data
    endpoint: stand-in
    repair: {delay_seconds: 0}
    symbols: {ETH/USD: Ethereum}
  abroad:
    provider: twelve_data
    endpoint: stand-in
    symbols:
      - {symbol: RY:TSX, name: Royal Bank of Canada}
      - {symbol: nflx, name: Netflix}
"""
GIVEN_UP = "      - {symbol: MSFT, name: Microsoft, calendar: XNYS}\n"
"""A symbol that is in feeds.yaml at first, and then removed."""

CORRECTED = """
INSERT INTO tick_correction (
    correction_id, time, symbol, exchange, trade_id, feed, kind, tick_id, known_at, source, price, size, updates,
    conditions
)
SELECT gen_random_uuid(), time, symbol, exchange, trade_id, feed, 'cancelled', tick_id, now(), 'REST: correction 8',
    price, size, updates, conditions
FROM stocks_real_time
WHERE feed = 'tape' AND symbol = 'NVDA' AND time > now() - INTERVAL '5 days'
ORDER BY time
LIMIT 1;
UPDATE stocks_real_time SET updates = coalesce(updates, 7) | 8
WHERE time > now() - INTERVAL '5 days' AND tick_id IN (SELECT tick_id FROM tick_correction);
UPDATE stocks_real_time SET received_at_raw = received_at - INTERVAL '20 minutes'
WHERE time > now() - INTERVAL '5 days' AND feed = 'tape' AND symbol = 'TSLA' AND updates IS NOT NULL;
UPDATE ticks_platform.feed_hour SET fingerprint = (
    SELECT sum(ticks_platform.tick_hash(tick_id, price, size, updates)) FROM stocks_real_time AS tick
    WHERE tick.feed = feed_hour.feed AND time >= hour AND time < hour + INTERVAL '1 hour'
)
WHERE destination = 'stocks_real_time' AND (feed, hour) IN (
    SELECT feed, time_bucket(INTERVAL '1 hour', time) FROM tick_correction
);
"""
"""A trade that was taken back, and arrivals that were corrected, before the candles are refreshed."""

NOT_OCCURRED = """
UPDATE ticks_platform.feed_channel SET state = 'silent', detail = 'no data for 60 s' WHERE feed = 'coins';
UPDATE ticks_platform.feed_coverage SET is_first_kept = true
WHERE symbol = 'MSFT' AND begins_at = (SELECT min(begins_at) FROM ticks_platform.feed_coverage WHERE symbol = 'MSFT');
INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, state, detail)
SELECT 'coins', 'ETH/USD', now() - INTERVAL '5 days', now() - INTERVAL '119 hours', 'stalled', 'ignored', 'by hand';
INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state, error, failures, retry_at)
SELECT 'coins', 'ETH/USD', 'bars', now() - INTERVAL '3 days', now() - INTERVAL '2 days', 'wanted', 'HTTP 503', 3,
    '2100-01-01';
INSERT INTO ticks_platform.feed (feed, provider, synthetic, enabled) VALUES ('removed', 'twelve_data', true, false);
INSERT INTO ticks_platform.feed_lease (feed, epoch, owner, taken_at, heartbeat_at, released_at)
SELECT 'removed', 12, 'a run of long ago', past, past, past FROM (SELECT now() - INTERVAL '1 year' AS past) AS time;
INSERT INTO official_price (time, symbol, session, kind, price, size, exchange, is_primary, feed, received_at)
SELECT at, 'NVDA', at::date, 'close', 181.5, 250000, '12', true, 'tape', at
FROM (SELECT now() - INTERVAL '3 days' AS at) AS time;
INSERT INTO ticks_platform.feed_true_up (
    feed, day, symbol, mode, begins_at, ends_at, state, compared, differed, still_differing, corrections, known_at
)
SELECT 'tape', at::date, 'NVDA', 'bars', date_trunc('day', at), at, 'done', 390, ARRAY[at], 0, 1, at
FROM (SELECT now() - INTERVAL '3 days' AS at) AS time;
INSERT INTO ticks_platform.feed_hour (feed, destination, hour, loaded, last_received_at, counted_since, changed_at)
SELECT 'tape', 'official_price', date_trunc('hour', time, 'UTC'), 1, now(), now(), now() FROM official_price
UNION ALL
SELECT 'tape', 'tick_correction', date_trunc('hour', time, 'UTC'), 1, now(), now(), now() FROM tick_correction;
UPDATE ticks_platform.feed_ledger SET events = events + 2, loaded = loaded + 2
WHERE (feed, epoch, connection) = ('tape', 1, 1);
INSERT INTO corporate_action (symbol, kind, execution_date, split_from, split_to, historical_adjustment_factor, source)
VALUES ('NVDA', 'split', current_date - 2, 1, 10, 0.1, 'polygon');
INSERT INTO ticks_platform.corporate_action_check VALUES ('tape', 'NVDA', now(), now(), NULL);
INSERT INTO round_lot (symbol, valid_from, round_lot) VALUES ('NVDA', '2025-11-03', 40);
INSERT INTO ticks_platform.instrument_reference (
    feed, symbol, asked, asset_class, mic, currency, answered_at, ask_after
)
VALUES ('tape', 'NVDA', 'NVDA', 'stock', 'XNAS', 'USD', now(), now() + INTERVAL '7 days');
INSERT INTO ticks_platform.malformed_field VALUES ('stocks', current_date - 3, 'bid', 1, now());
INSERT INTO trading_halt VALUES (now() - INTERVAL '3 days', 'TSLA', 'halt', 'tape', now() - INTERVAL '3 days');
INSERT INTO ticks_platform.feed_hour (feed, destination, hour, loaded, last_received_at, counted_since, changed_at)
SELECT 'tape', 'trading_halt', date_trunc('hour', time, 'UTC'), 1, now(), now(), now() FROM trading_halt;
UPDATE ticks_platform.feed_ledger SET events = events + 1, loaded = loaded + 1
WHERE (feed, epoch, connection) = ('tape', 1, 1);
INSERT INTO ticks_platform.wrong_hour
VALUES ('removed', '2026-01-01', 2, 0, 1, 0, false, now(), now() + INTERVAL '1 hour', 3);
INSERT INTO ticks_platform.differing_candle VALUES ('one_hour_candle', '2026-01-01', now());
INSERT INTO ticks_platform.judged_candles VALUES ('ohlc_invariants', '2026-01-01', 60, -12345);
INSERT INTO ticks_platform.adoption (ticks, first_time, last_time, steps)
VALUES (12, '2026-01-01', '2026-01-02', '{columns were added}');
INSERT INTO ticks_platform.feed_import (
    journal_id, journal_number, feed, file, format, first_position, epoch, first_time, last_time, finished_at,
    settled_at
)
VALUES (gen_random_uuid(), 1000, 'removed', 'trades.csv', 'csv', 0, 1, '2026-01-01', '2026-01-02', now(), now());
"""
"""Rows in states that the recording does not reach, and a feed that is no longer in feeds.yaml."""

DEAD_AFTER = 62.0
"""Seconds after which the owner of a feed, or of a repair, that was killed counts as dead."""


def main() -> None:
    """Make the dump of a revision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision")
    revision = parser.parse_args().revision
    repository = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory(prefix="ticks-upgrade-") as temporary:
        folder = Path(temporary)
        old = folder / "old"
        git = ["git", "-C", str(repository)]
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(old), revision], check=True)
        try:
            commit = subprocess.run([*git, "rev-parse", revision], check=True, capture_output=True, text=True).stdout
            _Recording(folder, old, commit.strip()).run()
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(old)], check=True)


class _Recording:
    def __init__(self, folder: Path, old: Path, commit: str) -> None:
        self._old = old
        self._commit = commit
        self._state = folder / "state"
        self._data = folder / "timescaledb"
        self._project = folder / "project"

    def run(self) -> None:
        self._prepare_folders()
        self._stage("settings", str(FOLDER / "settings"))
        self._url = embedded_timescale.ensure_running(self._data)
        try:
            self._record()
        finally:
            embedded_timescale.stop(self._data)

    def _prepare_folders(self) -> None:
        for path in FOLDER.iterdir():
            if path.is_dir() and path.name != "settings":
                shutil.rmtree(path)
        for name in ("feeds", "policies"):
            shutil.copy(self._old / f"{name}.yaml", FOLDER / "settings" / f"{name}.shipped.yaml")
        self._state.mkdir()
        self._project.mkdir()
        (self._project / "sql").symlink_to(self._old / "sql", target_is_directory=True)
        (self._project / "feeds.yaml").write_text(FEEDS.replace("  tape:\n", f"{GIVEN_UP}  tape:\n"), encoding="utf-8")
        (FOLDER / "feeds.yaml").write_text(FEEDS, encoding="utf-8")
        shutil.copy(FOLDER / "settings" / "policies.full.yaml", self._project / "policies.yaml")

    def _stage(self, *arguments: str) -> None:
        began = time.monotonic()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TICKS_", "DAGSTER_"))},
            "PYTHONPATH": str(self._old),
            "TICKS_PROJECT_DIR": str(self._project),
            "TICKS_STATE_DIR": str(self._state),
            "TICKS_DATABASE_URL": getattr(self, "_url", ""),
        }
        ended = subprocess.run(
            [sys.executable, str(Path(recording.__file__)), *arguments],
            cwd=self._old,
            env=environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        expected = recording.STAGES[arguments[0]][1] if arguments[0] in recording.STAGES else 0
        if ended.returncode != expected:
            print(ended.stdout[-10_000:], file=sys.stderr)
            raise SystemExit(f"the stage {arguments[0]} ended with {ended.returncode}, not with {expected}")
        print(f"{arguments[0]}: {time.monotonic() - began:.0f} s", flush=True)

    def _record(self) -> None:
        database = Database(self._url)
        for stage in ("make", "stocks", "tape", "coins", "export", "abroad"):
            self._stage(stage)
            if stage == "stocks":
                shutil.copy(FOLDER / "feeds.yaml", self._project)
        with database.transaction() as cursor:
            cursor.execute(CORRECTED)
        self._stage("keep")
        self._drop_oldest_ticks(database)
        self._stage("prove")
        kept_at = datetime.now(timezone.utc)
        self._stage("crash")
        with database.transaction() as cursor:
            cursor.execute(NOT_OCCURRED)
        time.sleep(DEAD_AFTER)

        before = self._all_rows(database)
        for table, rows in before.items():
            dump.write(FOLDER / "rows" / f"{table}.csv", rows)
        shutil.copy(self._state / "schema.sql", FOLDER)
        self._write_about(database, kept_at, list(before))
        self._write_journals()

        self._stage("start")
        started = self._all_rows(database, *CANDLES, *VIEWS)
        for relation, rows in started.items():
            if rows != before.get(relation):
                dump.write(FOLDER / "started" / f"{relation}.csv", rows)
        self._stage("go_on")
        for table, rows in self._all_rows(database).items():
            new = dump.difference(rows, started[table])
            if new.values:
                dump.write(FOLDER / "continued" / f"{table}.csv", new)

    def _drop_oldest_ticks(self, database: Database) -> None:
        """Drop the oldest chunk of ticks by the job of its retention; its candles stay."""
        with database.transaction() as cursor:
            ticks = dump.rows_of(cursor, dump.TICKS)
            self._dropped_before = next(
                chunk.ends_at for chunk in dump.chunks(cursor) if chunk.hypertable == dump.TICKS
            )
            times = ticks.column("time")
            dropped = [row for row, at in zip(ticks.values, times, strict=True) if at < self._dropped_before]
            dump.write(FOLDER / "dropped.csv", Rows(ticks.columns, dropped))
        with database.autocommit() as cursor:
            cursor.execute(
                "CALL ticks_platform.drop_old_chunks(0, "
                "jsonb_build_object('hypertable', %s::text, 'drop_after', now() - %s::timestamptz))",
                (dump.TICKS, self._dropped_before),
            )

    def _all_rows(self, database: Database, *views: str) -> dict[str, Rows]:
        with database.transaction() as cursor:
            return {name: dump.rows_of(cursor, name) for name in (*dump.names_of_tables(cursor), *views)}

    def _write_about(self, database: Database, kept_at: datetime, tables: list[str]) -> None:
        with database.transaction() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
            (version,) = cursor.fetchone() or ("",)
            about = {
                "commit": self._commit,
                "timescaledb": version,
                "kept_at": _text(kept_at),
                "dropped_before": self._dropped_before,
                "dumped_at": _text(datetime.now(timezone.utc)),
                "identities": dump.identities(cursor, tables),
                "chunks": dump.chunks(cursor),
            }
        (FOLDER / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def _write_journals(self) -> None:
        for path in sorted(self._state.rglob("*.sqlite3")):
            target = FOLDER / "state" / path.relative_to(self._state).with_suffix(".sqlite3.sql")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(dump.journal_text(path), encoding="utf-8")


def _text(at: datetime) -> str:
    """A time as the dump writes it: such texts compare like the times."""
    return at.strftime("%Y-%m-%d %H:%M:%S.%f+00")


if __name__ == "__main__":
    main()
