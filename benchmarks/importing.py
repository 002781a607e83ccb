"""`import`: a flat file into the columnstore, beside COPY of its ready rows; and one killed five times."""

from __future__ import annotations

import gzip
import io
import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.children import child
from benchmarks.report import Report, interleaved, middle, ratio, table
from benchmarks.workbench import Workbench
from ticks_platform.feeds import file_formats
from ticks_platform.feeds.files import FileHeader
from ticks_platform.feeds.polygon.flat_file import TRADES
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.imports.file_frames import FileFrames
from ticks_platform.ingestion.imports.files import Import
from ticks_platform.ingestion.imports.options import Options
from ticks_platform.ingestion.imports.settle import settle
from ticks_platform.ingestion.rows.decode import decode_groups
from ticks_platform.ingestion.rows.tables import TICKS
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import reconciliation
from ticks_platform.timescale.candles.candles import ONE_DAY
from ticks_platform.timescale.database import Database

SYMBOLS = 500
KILLS = 5
_COPY = f"COPY stocks_real_time ({', '.join(TICKS.columns)}) FROM STDIN (FORMAT binary)"
_OPENING = datetime(2024, 4, 5, 13, 30, tzinfo=timezone.utc)
_SESSION = 23_400_000
"""Milliseconds."""

_TIMEOUT = 3600.0

_ONCE = """
    SELECT symbol, count(*), sum(trade_id::numeric)
    FROM stocks_real_time
    GROUP BY symbol
    HAVING count(*) <> max(trade_id::bigint) - min(trade_id::bigint) + 1
        OR sum(trade_id::numeric) <> (min(trade_id::numeric) + max(trade_id::numeric)) * count(*) / 2
"""
"""The ids of a symbol are consecutive, so their number and sum tell; 10 million different ones take minutes to sort."""

_LIMIT_BATCHES = (10_000, 50_000)
"""Rows a transaction of COPY; the better one is the limit."""

_CONDITIONS = ("", '"12,37"', "37", '"14,41"', "", '"14,37,41"', "")
_OURS, _KILLED = "ours: flat file → columnstore", "ours, killed five times"


def run(workbench: Workbench, report: Report, *, rows: int, repeats: int) -> None:
    """Measure both in turn, then the import with kills, and check each trade, the account and the proof after it."""
    if not workbench.has_direct_compress:
        raise RuntimeError("`import` needs a server with direct compress: set TICKS_DATABASE_URL")
    with workbench.database.autocommit() as cursor:
        cursor.execute(sql_files.read(ONE_DAY.file))
    file = write_flat_file(workbench.folder / "day.csv.gz", rows)
    ready = {size: _ready(file, workbench.folder / f"rows.{size}", size) for size in _LIMIT_BATCHES}
    contenders = {
        f"limit: COPY of ready rows, {size:,} a transaction → columnstore": partial(
            _limit, workbench, ready[size], rows
        )
        for size in _LIMIT_BATCHES
    }
    samples = interleaved({**contenders, _OURS: partial(_ours, workbench, file, rows)}, repeats)
    limit = max(contenders, key=lambda name: middle(samples[name]))
    lines = [[name, f"{middle(rates):,.0f}", f"{ratio(rates, samples[limit]):.2f}"] for name, rates in samples.items()]
    table(f"Import of a flat file, {rows:,} trades of {SYMBOLS} symbols", ("", "rows/s", "of the limit"), lines)
    for name, rates in samples.items():
        report.add("import", name, middle(rates), "rows/s", rates)
    killed = _killed(workbench, file, rows)
    table("", ("", "rows/s"), [[_KILLED, f"{killed:,.0f}"]])
    report.add("import", _KILLED, killed, "rows/s")
    _check(workbench, rows)


def write_flat_file(path: Path, rows: int) -> Path:
    """A day of trades of `SYMBOLS` symbols, of which some have many more than others, as the provider's files are."""
    draw = random.Random(5)  # noqa: S311
    weights = [1 / (rank + 5) for rank in range(SYMBOLS)]
    counts = [int(rows * weight / sum(weights)) for weight in weights]
    counts[0] += rows - sum(counts)
    begin = round(_OPENING.timestamp() * 1000)
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as file:
        file.write(",".join(TRADES) + "\n")
        for name, count in sorted(zip(_names(), counts, strict=True)):
            price, lines = draw.uniform(5, 500), []
            for number in range(count):
                at = (begin + number * _SESSION // count) * 1_000_000 + draw.randrange(1_000_000)
                price = max(price + draw.choice((-0.01, 0, 0, 0.01)), 1)
                off = number % 3 == 0
                lines.append(
                    f"{name},{_CONDITIONS[number % 7]},0,{4 if off else 11 + number % 2},{52983525000000 + number},"
                    f"{at - 40_000},{price:.6f},{number + 1},{at},{draw.randrange(1, 300)}.000000,1,"
                    f"{202 if off else 0},{at if off else 0}\n"
                )
            file.write("".join(lines))
    return path


def _names() -> list[str]:
    letters = "ABCDEFGHIJ"
    return ["S" + "".join(letters[int(digit)] for digit in f"{number:03d}") for number in range(SYMBOLS)]


def _feed() -> FeedSettings:
    settings = {"name": "benchmark", "provider": "polygon", "api_key_env": "NO_KEY_IS_NEEDED", "symbols": _names()}
    return FeedSettings.model_validate(settings)


def _ready(file: Path, path: Path, size: int) -> Path:
    """The rows as COPY data, in batches: each with its length before it."""
    decoder = file_formats.decoder(file_formats.POLYGON)
    header = FileHeader(file_formats.POLYGON, file.name, 2, TRADES)
    source = FileFrames(file, journal_id="", header=header, first=0, position=0, epoch=1, now=time.time_ns)
    assert TICKS.encode is not None
    left = None
    with path.open("wb") as out:
        while not source.drained:
            groups = source.take(max_bytes=size * 200, linger=0, wait=0)
            if not groups:
                break
            source.trim(groups[-1].end)
            ticks = decode_groups(groups, decoder.decode, decoder.decode_many).ticks
            left = ticks if left is None else type(ticks).joined([left, ticks])
            at = 0
            while len(left.events) - at >= size or (source.drained and at < len(left.events)):
                data = TICKS.encode(left.part(at, at + size), "benchmark", 1)
                out.write(len(data).to_bytes(8, "big") + data)
                at += size
            left = left.part(min(at, len(left.events)), len(left.events))
        if left is not None and left.events:
            data = TICKS.encode(left, "benchmark", 1)
            out.write(len(data).to_bytes(8, "big") + data)
    source.close()
    return path


def _batches(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while length := file.read(8):
            yield file.read(int.from_bytes(length, "big"))


def _limit(workbench: Workbench, ready: Path, rows: int) -> float:
    workbench.empty()
    connection = workbench.database.connect("benchmark limit")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET timescaledb.enable_direct_compress_copy = on")
        began = time.perf_counter()
        for batch in _batches(ready):
            with connection, connection.cursor() as cursor:
                cursor.copy_expert(_COPY, io.BytesIO(batch), size=1 << 20)
        seconds = time.perf_counter() - began
    finally:
        connection.close()
    _count(workbench, rows)
    return rows / seconds


def _ours(workbench: Workbench, file: Path, rows: int) -> float:
    workbench.empty()
    with child(_import, workbench.url, file) as process:
        seconds, cpu, megabytes = process.answer(within=_TIMEOUT)
    _count(workbench, rows)
    print(f"    {cpu / rows * 1e6:.2f} µs of CPU a row in Python, at most {megabytes:.0f} MB resident", flush=True)
    return rows / float(seconds)


def _import(pipe: Connection, url: str, file: Path) -> None:
    """Answers with seconds, CPU seconds and megabytes; the digest of the file is in them, as for a user."""
    began = time.perf_counter()
    importing = Import(
        feed=_feed(), database=Database(url), owner=f"{os.getpid()}", options=Options("polygon-flat-file")
    )
    (done,) = importing.run([file])
    seconds = time.perf_counter() - began
    if not done.is_complete or done.metrics.rejected:
        raise RuntimeError(f"not imported as it is: {done}")
    pipe.send((seconds, time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def _killed(workbench: Workbench, file: Path, rows: int) -> float:
    """Rows per second of the time in which it ran, with five kills; their leases are ended by hand at once."""
    workbench.empty()
    seconds = 0.0
    for kill in range(KILLS):
        seconds += _run_and_kill(workbench, file, at=rows * (kill + 1) // (KILLS + 1))
        with workbench.database.transaction() as cursor:
            cursor.execute("UPDATE ticks_platform.feed_repair_lease SET heartbeat_at = now() - INTERVAL '1 hour'")
        print(f"    killed at {_loaded(workbench):,} rows", flush=True)
    with child(_import, workbench.url, file) as process:
        last, _, _ = process.answer(within=_TIMEOUT)
    return rows / (seconds + float(last))


def _run_and_kill(workbench: Workbench, file: Path, *, at: int) -> float:
    began = time.perf_counter()
    pid = os.fork()
    if not pid:
        try:
            Import(
                feed=_feed(),
                database=Database(workbench.url),
                owner=f"{os.getpid()}",
                options=Options("polygon-flat-file"),
            ).run([file])
        finally:
            os._exit(0)
    while _loaded(workbench) < at:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise RuntimeError("the import ended before it was killed")
        time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return time.perf_counter() - began


def _loaded(workbench: Workbench) -> int:
    """By the account, which is quicker to read than the ticks."""
    with workbench.database.transaction() as cursor:
        cursor.execute("SELECT coalesce(sum(loaded), 0) FROM ticks_platform.feed_ledger")
        return int((cursor.fetchone() or (0,))[0])


def _count(workbench: Workbench, rows: int) -> None:
    if (stored := workbench.count()) != rows:
        raise RuntimeError(f"{rows:,} trades are in the file, but {stored:,} are stored")


def _check(workbench: Workbench, rows: int) -> None:
    """Each trade once, the account, the fingerprints of the hours, and the candles against the ticks."""
    database = workbench.database
    _count(workbench, rows)
    with database.transaction() as cursor:
        cursor.execute(_ONCE)
        repeated = cursor.fetchall()
    if repeated:
        raise RuntimeError(f"of {len(repeated)} symbols, trades are missing or come twice: {repeated[:3]}")
    began = time.perf_counter()
    settled = settle(database, _feed(), owner="benchmark")
    refreshed = time.perf_counter()
    with database.autocommit() as cursor:
        problems = [problem for account in audit.accounts(cursor) for problem in account.problems()]
        problems += audit.hours(cursor, everything=True).problems()
        proof = audit.proof(cursor)
        found = reconciliation.reconcile(cursor, fresh=timedelta(minutes=6))
    if problems or found.found.differing:
        raise RuntimeError(f"not as it should be: {problems}, {found}")
    print(
        f"    each trade once; the account balances; {proof.words()}; candles of {settled.days} days refreshed in "
        f"{refreshed - began:.1f} s, and compared with their ticks: {found}",
        flush=True,
    )
