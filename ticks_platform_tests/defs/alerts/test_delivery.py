"""What the webhook does not take is said where else somebody may look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ticks_platform.alerts import delivery
from ticks_platform.alerts.told import Told
from ticks_platform.defs.alerts import posting
from ticks_platform.monitoring import exporter
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.webhook_receiver import SECRET, Receiver, receiving

AWAY = Database("postgresql://nobody@127.0.0.1:1/ticks")


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path))
    with receiving() as found:
        yield found


def test_it_is_said_once_and_again_when_it_is_over(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alerts, told = posting.AlertsResource(url=receiver.url), Told()
    told.say("first")
    receiver.answers = [404, 404]
    assert "HTTP 404" in posting.deliver(told, alerts, sensor="alert_troubles", now=1_000.0)
    told.say("second")
    # It is not asked again at once.
    assert "messages to be posted later: 2" in posting.deliver(told, alerts, sensor="alert_troubles", now=1_001.0)
    assert "HTTP 404" in posting.deliver(told, alerts, sensor="alert_troubles", now=1_100.0)
    words = delivery.trouble() or ""
    assert "alerts are not delivered: cannot post to the webhook in TICKS_ALERT_WEBHOOK: HTTP 404; 2 messages" in words
    metrics = exporter.text(exporter.AllFeeds(AWAY, tmp_path / "feeds.yaml")).decode()
    assert 'ticks_alerts_waiting{sensor="alert_troubles"} 2.0' in metrics
    other = posting.deliver(Told(), alerts, sensor="alert_failed_runs", now=1_101.0)
    assert (other, delivery.trouble()) == ("nothing to tell", words)
    assert posting.deliver(told, alerts, sensor="alert_troubles", now=2_000.0) == "posted: 2"
    assert delivery.trouble() is None
    said = [record.getMessage() for record in caplog.records if record.name == posting.__name__]
    assert ["not delivered" in line for line in said] == [True, False]
    assert said[-1] == "alerts are delivered again"
    assert not any(SECRET in line for line in said)


def test_what_is_no_file_of_a_sensor_is_passed_over(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "alerts").mkdir()
    for name, content in (("damaged", "{"), ("other", "[]"), ("older", '{"sensor": "x"}')):
        (tmp_path / "alerts" / f"{name}.json").write_text(content, encoding="utf-8")
    assert delivery.trouble() is None
