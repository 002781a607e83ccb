"""`proof`: what the checks take at 20,000 ticks a second, beside few and beside many ticks that are stored and sealed.

CPU of the server's processes that answer the checks, and of ours, in real time: a stream of ticks is stored meanwhile,
and the checks run every four minutes, as by their schedule.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import psycopg2
import yaml

from benchmarks.report import Report, middle, table
from benchmarks.workbench import Workbench
from ticks_platform.defs.checks.check import Subject
from ticks_platform.defs.checks.table import CHECKS
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.feeds.settings import PlatformSettings, load_settings
from ticks_platform.timescale import seals, sql_files
from ticks_platform.timescale.candles import candle_proof, reconciliation
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.candles.candles import refresh_history as refresh
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

RATE = 20_000
"""Ticks a second of the stream."""

INTERVAL = 240.0
"""Seconds from one run of the checks to the next."""

DAY = 20_000_000
"""Ticks of a day that is stored."""

SYMBOLS = 500

HEADINGS = ["", "in an hour", "of a core", "with the daily checks", "ticks/s", "ledger_balances"]
HEADINGS += ["candles_equal_ticks", "prices", "others"]

POLICIES = Path(__file__).parents[1] / "policies.yaml"

_HOURS = 7
"""Of a day, from 14:00 UTC."""
_BEFORE = 2
"""Rounds that are not counted: the first reads what is from before, the second compares candles of a minute or two."""
_BATCH = 5.0
"""Seconds of the stream that are stored in one transaction."""

# In the order of the columnstore's batches, so that nothing is sorted: full batches, as after compression.
_STORE_DAY = """
INSERT INTO stocks_real_time (time, symbol, price, size, exchange, trade_id, feed, received_at, tick_id, updates)
SELECT at, 'S' || symbol, 100 + (number %% 997) * 0.01, 100, '4', number::text, 'load', at + INTERVAL '30 ms',
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000' || '8000'
     || lpad(to_hex(number * 1000 + symbol), 12, '0'))::uuid,
    CASE WHEN number %% 5 = 0 THEN 4 END
FROM generate_series(1, %(symbols)s) AS symbol
CROSS JOIN generate_series(1, %(ticks)s) AS number
CROSS JOIN LATERAL (
    SELECT %(end)s::timestamptz - (number * 1000 - symbol) * (%(length)s / (%(ticks)s * 1000.0)) AS at
) AS made
"""

_COUNT_DAY = """
INSERT INTO ticks_platform.feed_hour
    (feed, destination, hour, loaded, last_received_at, counted_since, changed_at, fingerprint, fingerprint_version)
SELECT feed, 'stocks_real_time', time_bucket(INTERVAL '1 hour', time), count(*), max(received_at),
    clock_timestamp(), max(received_at),
    sum(ticks_platform.tick_hash(tick_id, price, size, updates)), ticks_platform.fingerprint_version()
FROM stocks_real_time
WHERE time > %(end)s::timestamptz - %(length)s - INTERVAL '1 minute' AND time < %(end)s
GROUP BY 1, 3
"""

# As the loader does it: rows, the account of the hour with its fingerprint, and the ledger, in one transaction. One
# tick of a thousand comes two minutes late.
_STREAM = """
WITH stored AS (
    INSERT INTO stocks_real_time (time, symbol, price, size, exchange, trade_id, feed, received_at, tick_id, updates)
    SELECT at, 'S' || number %% %(symbols)s, 100 + (number %% 997) * 0.01, 100, '4', number::text, 'load', at,
        (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000' || '8000'
         || lpad(to_hex(number), 12, '0'))::uuid,
        CASE WHEN number %% 5 = 0 THEN 4 END
    FROM generate_series(%(first)s, %(last)s) AS number
    CROSS JOIN LATERAL (
        SELECT to_timestamp(
            number / %(rate)s::double precision - CASE WHEN number %% 1000 = 0 THEN 120 ELSE 0 END
        ) AS at
    ) AS made
    RETURNING time, ticks_platform.tick_hash(tick_id, price, size, updates) AS hash
),
counted AS (
    INSERT INTO ticks_platform.feed_hour AS known
        (feed, destination, hour, loaded, last_received_at, counted_since, changed_at, fingerprint, fingerprint_version)
    SELECT 'load', 'stocks_real_time', time_bucket(INTERVAL '1 hour', time), count(*), now(), clock_timestamp(), now(),
        sum(hash), ticks_platform.fingerprint_version()
    FROM stored
    GROUP BY 3
    ON CONFLICT (feed, destination, hour) DO UPDATE
    SET loaded = known.loaded + excluded.loaded, fingerprint = known.fingerprint + excluded.fingerprint,
        changed_at = now(), last_received_at = now()
),
touched AS (
    INSERT INTO ticks_platform.touched_slice (begins_at)
    SELECT DISTINCT time_bucket(INTERVAL '10 minutes', time) FROM stored WHERE time < now() - INTERVAL '30 seconds'
)
SELECT count(*) FROM stored
"""

_LEDGER = """
INSERT INTO ticks_platform.feed_ledger AS known
    (feed, epoch, connection, first_received_at, last_received_at, frames, events, loaded, duplicate, rejected, control)
VALUES ('load', 1, 0, now(), now(), 0, %(ticks)s, %(ticks)s, 0, 0, 0)
ON CONFLICT (feed, epoch, connection) DO UPDATE
SET last_received_at = now(), events = known.events + excluded.events, loaded = known.loaded + excluded.loaded
"""


class Round(NamedTuple):
    """What the checks took, once."""

    seconds: float
    """CPU of all of them."""
    ticks: int
    """Ticks that were stored since the time before."""
    by_check: dict[str, float]


class _Metered(Database):
    """Adds up what the server's processes take that answer us."""

    seconds = 0.0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Cursor]:
        with super().transaction() as cursor, self._counted(cursor):
            yield cursor

    @contextlib.contextmanager
    def autocommit(self) -> Iterator[Cursor]:
        with super().autocommit() as cursor, self._counted(cursor):
            yield cursor

    @contextlib.contextmanager
    def _counted(self, cursor: Cursor) -> Iterator[None]:
        usage = Path(f"/proc/{cursor.connection.info.backend_pid}/schedstat")
        try:
            yield
        finally:
            # All of its life: it was started for us.
            self.seconds += int(usage.read_text("ascii").split()[0]) / 1e9


class _Resource(NamedTuple):
    """What checks need of Dagster's resource."""

    database: _Metered

    def transaction(self) -> contextlib.AbstractContextManager[Cursor]:
        """One transaction on a connection of its own."""
        return self.database.transaction()

    def autocommit(self) -> contextlib.AbstractContextManager[Cursor]:
        """A connection outside of any transaction."""
        return self.database.autocommit()


def run(workbench: Workbench, report: Report, *, rows: int, rounds: int, interval: float = INTERVAL) -> None:
    """The checks beside 0.4 of these ticks, and beside all of them; 0.15 are of today, and so not sealed."""
    if workbench.is_embedded:
        raise SystemExit("proof needs a server on this machine: set TICKS_DATABASE_URL")
    prepare(workbench)
    settings = feed_settings(workbench)
    # Of its begin: a run of an hour may last beyond midnight.
    now = this_hour()
    store(workbench, now, days_ago=0, ticks=rows * 3 // 20)
    lines, stored, days = [], rows * 3 // 20, 0
    for size in (rows * 2 // 5, rows):
        while stored < size:
            days += 1
            ticks = min(DAY, size - stored)
            store(workbench, now, days_ago=days, ticks=ticks)
            stored += ticks
        prove(workbench)
        found, daily = measured(workbench, settings, rounds=rounds, interval=interval)
        lines.append(line(report, size, found, daily, interval))
    table(f"CPU of the checks at {RATE:,} ticks/s, every {interval:g} s (medians of {rounds})", HEADINGS, lines)


def line(report: Report, size: int, rounds: list[Round], daily: float, interval: float) -> list[str]:
    """A line of the table; what daily checks take is a part of each second of a day."""
    seconds = middle([each.seconds for each in rounds])
    share = seconds / interval
    whole = share + daily / 86_400
    name = f"{size / 1e6:g} M stored"
    report.add(
        "proof", f"{name}: CPU in an hour", share * 3600, "s", [each.seconds * 3600 / interval for each in rounds]
    )
    report.add("proof", f"{name}: of a core", 100 * whole, "%")
    shown = ("ledger_balances", "candles_equal_ticks", "prices_are_positive_and_finite")
    parts = [middle([each.by_check[check] for each in rounds]) / interval for check in shown]
    cells = [f"{share * 3600:.0f} s", f"{share:.1%}", f"{whole:.1%}"]
    cells.append(f"{middle([each.ticks for each in rounds]) / interval:,.0f}")
    return [name, *cells, *(f"{part:.1%}" for part in parts), f"{share - sum(parts):.1%}"]


def prepare(workbench: Workbench) -> None:
    """The feed, and all candles."""
    with workbench.database.autocommit() as cursor:
        cursor.execute("SELECT current_database()")
        (name,) = cursor.fetchone() or ("",)
        # Their CPU would not be counted.
        cursor.execute(f'ALTER DATABASE "{name}" SET max_parallel_workers_per_gather = 0')
        for candle in CANDLES:
            cursor.execute(sql_files.read(candle.file))
        cursor.execute("INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('load', 'polygon', true)")


def feed_settings(workbench: Workbench) -> PlatformSettings:
    """feeds.yaml of the feed."""
    file = workbench.folder / "feeds.yaml"
    feed = {
        "provider": "polygon",
        "endpoint": "ws://127.0.0.1:9/",
        "synthetic_endpoint": True,
        "api_key_env": "TICKS_BENCH_KEY",
        "options": {"market": "stocks", "channels": ["T"]},
        "symbols": [f"S{number}" for number in range(SYMBOLS)],
    }
    file.write_text(yaml.safe_dump({"feeds": {"load": feed}}), encoding="utf-8")
    return load_settings(file)


def this_hour() -> datetime:
    """When this hour began."""
    return datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)


def store(workbench: Workbench, now: datetime, *, days_ago: int, ticks: int) -> None:
    """Ticks of a day in the columnstore, with their account; today's are those of two hours, three hours ago."""
    began = time.monotonic()
    if days_ago:
        end, length = (
            now.replace(hour=14) - timedelta(days=days_ago) + timedelta(hours=_HOURS),
            timedelta(hours=_HOURS),
        )
    else:
        end, length = now - timedelta(hours=3), timedelta(hours=2)
    parameters = {"symbols": SYMBOLS, "ticks": ticks // SYMBOLS, "end": end, "length": length}
    with workbench.database.transaction() as cursor:
        cursor.execute("SET LOCAL timescaledb.enable_direct_compress_insert = on")
        cursor.execute("SET LOCAL timescaledb.enable_direct_compress_insert_client_sorted = on")
        cursor.execute(_STORE_DAY, parameters)
        cursor.execute(_COUNT_DAY, parameters)
        cursor.execute(_LEDGER, {"ticks": ticks})
    with workbench.database.autocommit() as cursor:
        for candle in CANDLES:
            refresh(cursor, candle)
    print(f"  … {ticks:,} ticks until {end:%Y-%m-%d %H:%M} in {time.monotonic() - began:.0f} s", flush=True)


def prove(workbench: Workbench) -> None:
    """Prove all candles and ticks, and seal what can be."""
    began = time.monotonic()
    budget, candle_proof.BUDGET = candle_proof.BUDGET, 10**12
    try:
        with workbench.database.autocommit() as cursor:
            while reconciliation.reconcile(cursor, fresh=timedelta(hours=1)).found.candles:
                pass
    finally:
        candle_proof.BUDGET = budget
    with workbench.database.autocommit() as cursor:
        seals.check(cursor)
    print(f"  … proven in {time.monotonic() - began:.0f} s", flush=True)


def measured(
    workbench: Workbench, settings: PlatformSettings, *, rounds: int, interval: float
) -> tuple[list[Round], float]:
    """The rounds, and what the daily checks take where all days before today are sealed."""
    found = []
    with _stream(workbench) as stored:
        before = -1
        for number in range(rounds + _BEFORE):
            began = time.monotonic()
            with workbench.database.autocommit() as cursor:
                # As the policies do.
                cursor.execute(
                    "CALL refresh_continuous_aggregate('one_minute_candle', now() - INTERVAL '4 hours', "
                    "now() - INTERVAL '1 minute')"
                )
            by_check = check(workbench, settings, daily=False)
            ticks = stored() - before
            before = stored()
            seconds = sum(by_check.values())
            print(f"  … {seconds:.2f} s for {ticks:,} ticks: {_dearest(by_check)}", flush=True)
            if number >= _BEFORE:
                found.append(Round(seconds, ticks, by_check))
            if number < rounds + _BEFORE - 1:
                time.sleep(max(0.0, began + interval - time.monotonic()))
    # The first seals, the second finds all sealed.
    for _ in range(2):
        by_check = check(workbench, settings, daily=True)
        daily = sum(by_check.values())
        with workbench.database.transaction() as cursor:
            number_sealed = seals.count(cursor)
        print(f"  … daily: {daily:.2f} s, {number_sealed} chunks are sealed: {_dearest(by_check)}", flush=True)
    return found, daily


def _dearest(by_check: dict[str, float]) -> str:
    return ", ".join(f"{name} {took:.2f}" for name, took in sorted(by_check.items(), key=lambda each: -each[1])[:6])


def check(workbench: Workbench, settings: PlatformSettings, *, daily: bool) -> dict[str, float]:
    """Run checks as their schedule does; CPU seconds of each. Raises RuntimeError if one of proofs does not pass."""
    found: dict[str, float] = {}
    for row in sorted(CHECKS, key=lambda row: row.heals):
        if row.daily is not daily:
            continue
        for asset in row.assets:
            database = _Metered(workbench.url)
            resource = cast("DatabaseResource", cast("Any", _Resource(database)))
            began = time.process_time()
            verdict = row.judge(Subject(asset, resource, settings, POLICIES, by_schedule=True))
            found[row.name] = found.get(row.name, 0.0) + time.process_time() - began + database.seconds
            if not verdict.passed and row.name in ("ledger_balances", "candles_equal_ticks", "every_tick_is_there"):
                raise RuntimeError(f"{row.name}: {verdict.description}")
    return found


@contextlib.contextmanager
def _stream(workbench: Workbench) -> Iterator[Any]:
    """Store ticks of now in a thread; gives a function that says how many there are."""
    ended, numbers = threading.Event(), [0]
    failures: list[BaseException] = []

    def store_on() -> None:
        last = int(time.time() * RATE)
        with workbench.database.autocommit() as cursor:
            while not ended.wait(max(0.0, last / RATE + _BATCH - time.time())):
                first, last = last + 1, min(int(time.time() * RATE), last + RATE * 30)
                parameters = {"symbols": SYMBOLS, "rate": RATE, "first": first, "last": last}
                cursor.execute("BEGIN")
                cursor.execute(_STREAM, parameters)
                cursor.execute(_LEDGER, {"ticks": last - first + 1})
                cursor.execute("COMMIT")
                numbers[0] += last - first + 1

    def watched() -> None:
        try:
            store_on()
        except (psycopg2.Error, DatabaseUnavailableError) as error:
            failures.append(error)

    def stored() -> int:
        if failures:
            raise failures[0]
        return numbers[0]

    thread = threading.Thread(target=watched)
    thread.start()
    try:
        yield stored
    finally:
        ended.set()
        thread.join()
