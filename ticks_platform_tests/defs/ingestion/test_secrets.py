"""A key that a provider repeats in all ways, and everything that is kept or shown: it is nowhere.

The journal has the frames as received, and is its owner's alone; so it is not searched. Nor is the environment.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import pytest

from ticks_platform import masking
from ticks_platform.alerts import webhook
from ticks_platform.defs.alerts.posting import short
from ticks_platform.defs.ingestion import ingest
from ticks_platform.feeds.transport import reconnect
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.feeds import PeerServer, RecordedBackoff, wait_until
from ticks_platform_tests.support.ports import free_port
from ticks_platform_tests.support.telltale import KEY, Telltale, dump, found_in
from ticks_platform_tests.support.webhook_receiver import receiving


@pytest.fixture
def provider() -> Iterator[tuple[Telltale, PeerServer]]:
    telltale = Telltale()
    with PeerServer(telltale) as server:
        yield telltale, server


@pytest.fixture
def masked() -> Iterator[None]:
    """What is logged is masked, as after the platform's definitions are loaded."""
    factory = logging.getLogRecordFactory()
    masking.install.cache_clear()
    masking.install()
    yield
    logging.setLogRecordFactory(factory)


@pytest.mark.full
@pytest.mark.usefixtures("masked")
def test_a_key_is_nowhere(
    provider: tuple[Telltale, PeerServer],
    project: Path,
    load: Callable[[], dg.Definitions],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    telltale, server = provider
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TICKS_TEST_KEY", KEY)
    monkeypatch.setattr(ingest, "FIRST_REPORT", 0.1)
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.1)
    monkeypatch.setattr(reconnect, "Backoff", lambda **_: RecordedBackoff())
    # An exception in a connector may have the whole URL in its text.
    decode = TwelveDataConnector.decode

    def decode_badly(self: TwelveDataConnector, frame: bytes) -> object:
        if b"timestamp" in frame and KEY.encode()[:4] in frame:
            raise ValueError(f"cannot decode what wss://h/?apikey={quote(KEY)} sent: {KEY!r}")
        return decode(self, frame)

    monkeypatch.setattr(TwelveDataConnector, "decode", decode_badly)
    monkeypatch.setattr(TwelveDataConnector, "decode_many", lambda *_: None)
    port = free_port()
    (project / "feeds.yaml").write_text(
        f"feeds: {{stocks: {{provider: twelve_data, endpoint: '{server.url}', api_key_env: TICKS_TEST_KEY, "
        f"metrics_port: {port}, symbols: [AAPL, MSFT]}}}}",
        encoding="utf-8",
    )
    metrics: list[str] = []
    results: list[dg.ExecuteInProcessResult] = []

    @dg.op
    def fails_with_the_key() -> None:
        try:
            raise KeyError(f"https://h/?apikey={quote(KEY)}")  # noqa: TRY301
        except KeyError as error:
            raise RuntimeError(f"no luck with {KEY}") from error

    @dg.job(executor_def=dg.in_process_executor)
    def failing() -> None:
        fails_with_the_key()

    with receiving() as receiver, dg.instance_for_test() as instance:
        ingesting = load().resolve_job_def("ingest")

        def run() -> None:
            results.append(
                ingesting.execute_in_process(instance=instance, partition_key="stocks", raise_on_error=False)
            )

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: rejected(database), "rejected events", 60)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics.append(answer.read().decode())
        telltale.streaming.set()
        thread.join(150)
        # Where it stands, if it is the run that does not end.
        assert not thread.is_alive(), "".join(traceback.format_stack(sys._current_frames()[thread.ident or 0]))
        failing.execute_in_process(instance=instance, raise_on_error=False)
        alert_about(instance, receiver.url)
        stored = b"".join(path.read_bytes() for path in Path(instance.root_directory).rglob("*") if path.is_file())
        events = b"no luck" in stored and b"refused the API key" in stored
        texts = list(receiver.texts)

    assert results
    assert not results[0].success
    assert events
    assert texts
    output = capfd.readouterr()
    places = {
        "Dagster's storage": stored.decode(errors="replace"),
        "tables": dump(database),
        "metrics": metrics[0],
        "alerts": "\n".join(texts),
        "log": caplog.text,
        "output": output.out + output.err,
    }
    assert found_in(places) == []
    for place in ("Dagster's storage", "tables", "alerts", "log"):
        assert masking.MASK in places[place], f"the provider's words did not reach {place}"


def rejected(database: Database) -> bool:
    with database.transaction() as cursor:
        cursor.execute("SELECT to_regclass('ticks_platform.rejected_event') IS NOT NULL")
        if cursor.fetchone() != (True,):
            return False
        cursor.execute("SELECT count(*) FROM ticks_platform.rejected_event")
        row = cursor.fetchone()
        return bool(row and row[0] >= 3)


def alert_about(instance: dg.DagsterInstance, url: str) -> None:
    """Post what each failed run has to say."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])):
        for entry in instance.all_logs(record.dagster_run.run_id):
            data = entry.dagster_event.event_specific_data if entry.dagster_event else None
            error = getattr(data, "error", None)
            if error is not None:
                webhook.post(url, f"{short(str(error))}, {KEY}")
