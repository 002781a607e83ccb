"""Posting to a webhook: limited retries, and no message contains its URL."""

from __future__ import annotations

import logging
import socket
import time
import traceback
from contextlib import ExitStack

import pytest

from ticks_platform.alerts import webhook
from ticks_platform.alerts.webhook import WebhookError
from ticks_platform_tests.support.webhook_receiver import SECRET, receiving

QUICK = (0.01, 0.01)


def refusal(url: str, **options: float) -> str:
    """The message of a post that fails; the secret is not in it or its traceback."""
    with pytest.raises(WebhookError) as error:
        webhook.post(url, "text", pauses=QUICK, **options)
    shown = "".join(traceback.format_exception(error.value))
    assert "s3cr3t-word" not in shown
    return str(error.value)


def test_a_text_arrives() -> None:
    with receiving() as receiver:
        webhook.post(receiver.url, 'a "text" of 1 €')
    assert receiver.texts == ['a "text" of 1 €']


@pytest.mark.parametrize("status", [429, 500, 503])
def test_temporary_failures_are_retried(status: int) -> None:
    with receiving() as receiver:
        receiver.answers = [status, status]
        webhook.post(receiver.url, "text", pauses=QUICK)
    assert (receiver.attempts, receiver.texts) == (3, ["text"])


def test_retry_after_is_obeyed() -> None:
    with receiving() as receiver:
        receiver.answers, receiver.retry_after = [429], "0.5"
        began = time.monotonic()
        webhook.post(receiver.url, "text", pauses=QUICK)
    assert time.monotonic() - began >= 0.5
    assert receiver.texts == ["text"]


def test_a_service_that_asks_for_a_long_pause_is_asked_later() -> None:
    with receiving() as receiver:
        receiver.answers, receiver.retry_after = [429, 429], "60"
        assert "HTTP 429, which asks for 60 s without messages" in refusal(receiver.url)
    assert receiver.attempts == 1


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (403, 1), (302, 1), (500, 3)])
def test_permanent_failures_are_raised(status: int, attempts: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiving() as receiver:
        receiver.answers = [status] * 5
        assert f"HTTP {status}" in refusal(receiver.url)
    assert receiver.attempts == attempts
    assert "s3cr3t-word" not in caplog.text


@pytest.mark.parametrize(
    "url", [SECRET, f"file:///{SECRET}", f"http://[{SECRET}", f"http://127.0.0.1:{SECRET}", f"http://host/{SECRET} x\n"]
)
def test_invalid_urls_are_raised(url: str) -> None:
    assert webhook.VARIABLE in refusal(url)


def test_connection_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "ConnectionRefusedError" in refusal(f"http://127.0.0.1:{port}/{SECRET}")


def test_a_server_that_never_answers_is_not_waited_for() -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        refusal(f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}", timeout=0.2)
    assert time.monotonic() - began < 10


def test_where_nothing_takes_a_connection_one_attempt_is_made() -> None:
    """Three would take as long as three attempts, and the sensors that wait for their turn with them."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        for _ in range(4):  # the system drops what comes then
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"
        with pytest.raises(WebhookError, match=r"no connection within 1 s"):
            webhook.post(url, "text", timeout=1.0, pauses=(60.0, 60.0))


def test_long_texts_are_cut() -> None:
    with receiving() as receiver:
        webhook.post(receiver.url, "x" * 10_000)
    assert len(receiver.texts[0]) == webhook.LONGEST_TEXT


def test_a_service_that_takes_a_text_and_answers_late_gets_it_once() -> None:
    with receiving() as receiver:
        receiver.delay = 1.0
        assert "no answer within 0.3 s" in refusal(receiver.url, timeout=0.3)
    assert receiver.attempts == 1


def test_the_pause_that_a_service_asks_for_is_known() -> None:
    with receiving() as receiver:
        receiver.answers, receiver.retry_after = [429], "600"
        with pytest.raises(WebhookError) as error:
            webhook.post(receiver.url, "text", pauses=QUICK)
    assert error.value.pause == 600
