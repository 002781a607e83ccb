"""`profile`: CPU time of each stage of a tick's way, one after another in one thread, without a database."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.frames import Tape
from benchmarks.report import Report, middle, table
from benchmarks.server import FrameServer, frame_server
from benchmarks.throughput import SYMBOLS
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.transport.reconnect import FeedConnection
from ticks_platform.ingestion.journal.journal import FrameGroup, Journal
from ticks_platform.ingestion.loader import MAX_BATCH_BYTES
from ticks_platform.ingestion.rows.decode import DecodedBatch, decode_groups
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.tables import TICKS

_GROUP = 512


def run(report: Report, *, rows: int, repeats: int) -> None:
    """Measure with 1 and with 30 events per frame."""
    measured = {per_frame: _measure(rows - rows % 30, per_frame, repeats) for per_frame in (1, 30)}
    lines = []
    for stage in measured[1]:
        costs = [measured[per_frame][stage] for per_frame in (1, 30)]
        for per_frame, cost in zip((1, 30), costs, strict=True):
            report.add(f"profile, {per_frame} a frame", stage, cost, "µs per event")
        peers = [
            cost / measured[per_frame]["json.loads, for comparison"]
            for per_frame, cost in zip((1, 30), costs, strict=True)
        ]
        lines.append([stage, *(f"{cost:.2f}" for cost in costs), *(f"{peer:.2f} x" for peer in peers)])
    headings = ["CPU, µs per event", "1 a frame", "30 a frame", "1: of json.loads", "30: of json.loads"]
    table(f"Stages, {rows:,} events (medians of {repeats})", headings, lines)


def _measure(rows: int, per_frame: int, repeats: int) -> dict[str, float]:
    tape = Tape(rows, per_frame, SYMBOLS, time.time_ns() // 1_000_000)
    frames = tape.frames()
    connector = tape.connector("ws://nowhere")
    decode, decode_many = connector.decode, connector.decode_many
    runs = [frames[at : at + _GROUP] for at in range(0, len(frames), _GROUP)]
    samples: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[[], object]) -> None:
        began = time.thread_time()
        work()
        samples.setdefault(stage, []).append((time.thread_time() - began) / rows * 1e6)

    for _ in range(repeats):
        samples.setdefault("receive (FeedConnection.run)", []).append(_receive(tape, frames) / rows * 1e6)
        with tempfile.TemporaryDirectory(prefix="ticks_bench_") as folder:
            journal = Journal(Path(folder) / "journal.sqlite3", feed="benchmark", max_bytes=8 << 30)
            arrived = [Frame(data, time.time_ns(), 1) for data in frames]
            timed("journal append", lambda: _append(journal, arrived))  # noqa: B023  (called at once)
            groups: list[FrameGroup] = []
            timed("journal take", lambda: _take(journal, groups))  # noqa: B023
            journal.close()
        timed("decode (connector)", lambda: [decode(frame) for frame in frames])
        batches = _batches(groups)
        decoded: list[DecodedBatch] = []
        timed("decode (connector, many at once)", lambda: [decode_many(run) for run in runs])
        timed(
            "decode_groups (with the connector)",
            lambda: decoded.extend(decode_groups(b, decode, decode_many) for b in batches),  # noqa: B023
        )
        encode = TICKS.encode
        assert encode is not None
        memory = TradeMemory()
        timed("remember trades", lambda: [memory.suspects(batch.ticks) for batch in decoded])  # noqa: B023
        timed(
            "encode",
            lambda: [encode(batch.ticks, "benchmark", 1) for batch in decoded],  # noqa: B023
        )
        timed("json.loads, for comparison", lambda: [json.loads(frame) for frame in frames])
    return {stage: middle(values) for stage, values in samples.items()}


def _append(journal: Journal, frames: list[Frame]) -> None:
    for at in range(0, len(frames), _GROUP):
        journal.append(frames[at : at + _GROUP], epoch=1)


def _take(journal: Journal, groups: list[FrameGroup]) -> None:
    while taken := journal.take(max_bytes=MAX_BATCH_BYTES, linger=0, wait=0):
        groups += taken


def _batches(groups: list[FrameGroup]) -> list[list[FrameGroup]]:
    """Groups by batch, as large as the loader's."""
    batches: list[list[FrameGroup]] = [[]]
    for group in groups:
        if batches[-1] and group.end - batches[-1][0].position > MAX_BATCH_BYTES:
            batches.append([])
        batches[-1].append(group)
    return batches


def _receive(tape: Tape, frames: list[bytes]) -> float:
    """CPU seconds of receiving all frames, without a consumer."""
    got = 0

    def on_frames(group: object) -> None:
        nonlocal got
        got += len(group)  # type: ignore[arg-type]
        if got >= len(frames):
            connection.stop()

    with frame_server(tape) as server:
        connection = FeedConnection(
            tape.connector(server.url), symbols=tape.names(), on_frames=on_frames, on_change=lambda change: None
        )
        starter = threading.Thread(target=_start, args=(server,), daemon=True)
        starter.start()
        began = time.thread_time()
        connection.run()
        used = time.thread_time() - began
        starter.join()
    return used


def _start(server: FrameServer) -> None:
    server.wait_for_client()
    server.send_all()
