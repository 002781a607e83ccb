"""Secrets in the forms in which they are written, and text that stays as it is."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from ticks_platform import masking
from ticks_platform.errors import TicksPlatformError
from ticks_platform.masking import mask

KEY = 'Zq7/kW+9"vXé=t&2 pL\\x'


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_FEED", KEY)
    masking.know_variable("OUR_FEED")


@pytest.mark.parametrize(
    "shown",
    [
        KEY,
        KEY.upper(),
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        quote_plus(KEY),
        json.dumps(KEY),
        json.dumps(KEY, ensure_ascii=False),
        json.dumps(KEY).replace("/", "\\/"),
        json.dumps(json.dumps({"key": KEY})),
        json.dumps(json.dumps({"key": KEY}, ensure_ascii=False), ensure_ascii=False),
        quote(quote(KEY)),
        repr(KEY),
        f"b\\x{KEY.encode().hex()}",
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(f"user:{KEY}".encode()).decode(),
        base64.urlsafe_b64encode(f"a:{KEY}\n".encode()).decode(),
    ],
)
def test_each_form(shown: str) -> None:
    for text in (f"the key {shown} is wrong", f"wss://h/?apikey={shown}&x=1", f'{{"message":"{shown}"}}', f"a{shown}b"):
        left = mask(text)
        assert masking.MASK in left
        assert shown[4:-4].lower() not in left.lower()


def test_a_text_that_was_cut_off() -> None:
    assert mask(f"the key {KEY[:14]}…") == "the key ***…"
    assert mask(f"the key {KEY[:5]}… is wrong") == f"the key {KEY[:5]}… is wrong"


def test_a_secret_that_comes_in_two_messages() -> None:
    for cut in range(len(KEY) + 1):
        shown = mask(f"the key {KEY[:cut]}") + mask(f"{KEY[cut:]} is wrong")
        assert all(len(part) < len(KEY) / 2 for part in (KEY[:cut], KEY[cut:]) if part in shown)
    assert masking.current().bytes(KEY[len(KEY) // 2 :].encode()) == b"***"


def test_a_key_of_two_parts_is_masked_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alpaca's: its id and its secret are sent apart. The longer part does not hide the shorter one."""
    for key_id, secret in (("PKABCD1234567890", "sEcReT0123456789abcdefGHIJ"), ("PKABCD1234567890" * 3, "sEcReT01234")):
        monkeypatch.setenv("OUR_FEED", f"{key_id}:{secret}")
        for part in (key_id, secret, base64.b64encode(f"{key_id}:{secret}".encode()).decode()):
            assert mask(f"the key {part} is wrong") == "the key *** is wrong"


def test_bytes_stay_valid_json() -> None:
    frame = json.dumps({"event": "price", "symbol": KEY, "price": 1.5}).encode()
    assert json.loads(masking.current().bytes(frame)) == {"event": "price", "symbol": "***", "price": 1.5}
    assert masking.current().bytes(b'{"symbol":"AAPL"}') == b'{"symbol":"AAPL"}'


def test_short_and_common_secrets_leave_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_FEED", "abc")
    assert mask("ABC and abc in apikey=abc, 'token': 'abc'") == "ABC and abc in apikey=***, 'token': '***'"
    monkeypatch.setenv("OUR_FEED", "ab12x")
    assert mask("ab12x, not cab12xs") == "***, not cab12xs"
    monkeypatch.setenv("OUR_FEED", "demo")
    assert mask("a demonstration of demo, ?apikey=demo") == "a demonstration of demo, ?apikey=***"


def test_passwords_of_databases_and_proxies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TICKS_DATABASE_URL", "postgresql://me:s3cr%40t-one@db:5432/ticks?sslpassword=key-of-tls")
    monkeypatch.setenv("https_proxy", "http://agent:pr0xy-word@proxy:3128")
    monkeypatch.setenv("PGPASSWORD", "from-libpq-1")
    monkeypatch.setenv("TICKS_ALERT_WEBHOOK", "https://hooks.example.com/services/T000/B000/abcdefghijklmnop")
    (tmp_path / "pass").write_text("db:5432:*:me:of\\:the-file\n# comment:a:b:c:d\n", encoding="utf-8")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pass"))
    (tmp_path / "service").write_text("[ticks]\nhost=db\npassword=of-the-service\n", encoding="utf-8")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "service"))
    for secret in (
        "s3cr@t-one",
        "s3cr%40t-one",
        "key-of-tls",
        "pr0xy-word",
        "from-libpq-1",
        "abcdefghijklmnop",
        "of:the-file",
        "of-the-service",
    ):
        assert mask(f"it is {secret}!") == "it is ***!", secret
    proxied = base64.b64encode(b"agent:pr0xy-word").decode()
    assert mask(f"Proxy-Authorization: Basic {proxied}") == "Proxy-Authorization: Basic ***"


def test_the_host_of_a_webhook_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_ALERT_WEBHOOK", "http://me:pass-of-mine@127.0.0.1:3299/hooks/abcdefghijklmnop")
    assert mask("Dagster: http://127.0.0.1:3210") == "Dagster: http://127.0.0.1:3210"
    assert mask("posted to 127.0.0.1:3299/hooks/abcdefghijklmnop") == "posted to 127.0.0.1:3299/***"
    assert mask("as pass-of-mine") == "as ***"


def test_a_password_that_is_the_users_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_DATABASE_URL", "postgresql://trader:trader@db/ticks")
    assert mask('role "trader" does not exist') == 'role "trader" does not exist'
    assert mask("postgresql://trader:trader@db/ticks") == "postgresql://trader:***@db/ticks"


def test_a_url_whose_secret_nobody_knows() -> None:
    assert mask("see http://u:unknown/one@h/p?token=abc") == "see http://u:***@h/p?token=***"


def test_errors_and_what_is_logged(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    factory = logging.getLogRecordFactory()
    masking.install.cache_clear()
    try:
        masking.install()
        assert KEY not in str(TicksPlatformError(f"refused: {KEY}"))
        logger = logging.getLogger("of.another.library")
        logger.warning("GET %s\x1b[2J", f"/?k={KEY}")
        try:
            raise KeyError(KEY)  # noqa: TRY301
        except KeyError:
            logger.exception("failed with %s", {"key": KEY})
        assert "\\x1b[2J" in caplog.text
        assert KEY not in caplog.text
        assert repr(KEY)[1:-1] not in caplog.text
        assert "KeyError: '***'" in caplog.text
    finally:
        logging.setLogRecordFactory(factory)
        masking.install.cache_clear()


def test_what_python_itself_prints() -> None:
    """Warnings, and errors that nobody can catch: of a thread, of a finalizer, at the end."""
    program = """
import atexit, os, threading, warnings
from ticks_platform import masking
masking.install()
key = os.environ["SOME_API_KEY"]

def fail():
    raise ValueError(f"refused {key}")

class Closed:
    def __del__(self):
        fail()

warnings.warn(f"deprecated {key}")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
Closed()
atexit.register(fail)
fail()
"""
    environment = {**os.environ, "SOME_API_KEY": KEY}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.count("refused ***") == 4
    assert "deprecated ***" in done.stderr
    assert KEY not in done.stderr
