"""Proxies of the environment: loopback is dialled directly, and an error names the proxy without its credentials."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit

import pytest

from ticks_platform import proxies
from ticks_platform.alerts import webhook
from ticks_platform.alerts.webhook import WebhookError
from ticks_platform.feeds.history import HistoryRequest, TransientError
from ticks_platform.feeds.transport.history_client import HistoryClient
from ticks_platform.feeds.transport.state import State
from ticks_platform_tests.support.feeds import Running, twelve_data
from ticks_platform_tests.support.proxy import running_proxy
from ticks_platform_tests.support.webhook_receiver import receiving
from ticks_standin import StandIn, StandInSettings

SECRET = "pr0xy-passw0rd"


@pytest.fixture(autouse=True)
def _no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> str:
    """A proxy that nobody serves, with credentials, for everything."""
    for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://somebody:{SECRET}@127.0.0.1:9/")
    return "127.0.0.1:9"


@pytest.mark.parametrize("exceptions", [None, "internal.example"])
@pytest.mark.usefixtures("dead_proxy")
def test_loopback_is_dialled_directly(exceptions: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if exceptions is not None:
        monkeypatch.setenv("no_proxy", exceptions)
    with StandIn(StandInSettings(rate=200)) as stand_in:
        for host in ("127.0.0.1", "localhost"):
            url = stand_in.url("twelve_data", key=None).replace("127.0.0.1", host)
            with Running(twelve_data(url)) as running:
                running.wait_for(State.STREAMING)
                assert State.BACKING_OFF not in running.states
        client = HistoryClient()
        assert client.get(HistoryRequest(f"{stand_in.http_url}/stocks?apikey=demo", {})).status == 200
        client.close()
    with receiving() as receiver:
        webhook.post(receiver.url, "text")
    assert receiver.texts == ["text"]


def test_errors_name_the_proxy(dead_proxy: str) -> None:
    with Running(twelve_data("wss://provider.invalid/v1")) as running:
        lost = running.wait_for(State.BACKING_OFF)
    client = HistoryClient()
    with pytest.raises(TransientError) as rest:
        client.get(HistoryRequest("https://api.provider.invalid/x", {}))
    with pytest.raises(WebhookError) as alert:
        webhook.post("https://hooks.invalid/s3cr3t", "text", pauses=())
    for message in (lost.detail, str(rest.value), str(alert.value)):
        assert f"through the proxy {dead_proxy}" in message
        assert SECRET not in message
        assert "somebody" not in message


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"])
def test_what_a_proxy_refuses_is_no_refusal_of_the_provider(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_proxy(status=status) as tunnels:
        monkeypatch.setenv("https_proxy", f"http://somebody:{SECRET}@{tunnels.address}")
        with Running(twelve_data("wss://provider.invalid/v1")) as running:
            lost = running.wait_for(State.BACKING_OFF, times=2)
        assert status[:3] in lost.detail
        assert f"through the proxy {tunnels.address}" in lost.detail
        assert SECRET not in running.history()
    assert set(tunnels.asked) == {"CONNECT provider.invalid:443 HTTP/1.1"}


@pytest.mark.parametrize("answer", [b"x" * 4096, b"HTTP/1.1 200 OK\r\n" + b"X-More: 1\r\n" * 300, b"\0"])
def test_an_answer_of_a_proxy_without_end_is_cut_off(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):
                    while True:
                        client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        host, port = listener.getsockname()
        monkeypatch.setenv("https_proxy", f"http://{host}:{port}")
        with Running(twelve_data("wss://provider.invalid/v1")) as running:
            lost = running.wait_for(State.BACKING_OFF)
        assert "the proxy's answer to CONNECT is larger than 16,384 bytes" in lost.detail
        listener.shutdown(socket.SHUT_RDWR)


def test_a_provider_behind_a_proxy_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    with StandIn(StandInSettings(rate=200)) as stand_in:
        address = urlsplit(stand_in.http_url)
        assert address.hostname
        assert address.port
        with running_proxy((address.hostname, address.port)) as tunnels:
            monkeypatch.setenv("http_proxy", tunnels.address)
            with Running(twelve_data("ws://provider.invalid/v1/quotes/price")) as running:
                running.wait_for(State.STREAMING)
                stand_in.drop_connections()
                assert f"through the proxy {tunnels.address}" in running.wait_for(State.BACKING_OFF).detail
    assert tunnels.asked[0] == "CONNECT provider.invalid:80 HTTP/1.1"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(
            (host, True)
            for host in ("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]")
        ),
        *((host, True) for host in ("0.0.0.0", "::ffff:127.0.0.1")),
        *((host, False) for host in ("", "localhost.example", "10.0.0.1", "1.27.0.0.1", "::2", "notlocalhost")),
    ],
)
def test_what_is_loopback(host: str, expected: bool) -> None:
    assert proxies.is_loopback(host) is expected


@pytest.mark.parametrize(
    ("exceptions", "is_direct"),
    [
        ("provider.example", True),
        (".provider.example", True),
        ("*", True),
        ("example", True),
        ("other.example, provider.example", True),
        ("vider.example", False),
        ("10.0.0.0/8", False),
        ("", False),
    ],
)
def test_what_no_proxy_excepts(exceptions: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", exceptions)
    assert (proxies.proxy_for("wss://a.provider.example/v1") is None) is is_direct
    monkeypatch.setenv("no_proxy", "10.0.0.0/8")
    assert proxies.proxy_for("https://10.1.2.3/") is None
    assert proxies.proxy_for("https://11.1.2.3/") == ("http", "proxy.example", 3128, None)


def test_proxies_of_any_form(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, address in (
        ("http://user:p%40ss@proxy.example:8080", "proxy.example:8080"),
        ("proxy.example", "proxy.example:80"),
        ("https://proxy.example", "proxy.example:443"),
        ("socks5h://proxy.example", "proxy.example:1080"),
        ("http://[fd00::1]:3128", "[fd00::1]:3128"),
    ):
        monkeypatch.setenv("http_proxy", given)
        proxy = proxies.proxy_for("ws://provider.example/")
        assert proxy is not None
        assert proxy.address == address
        assert proxies.through("ws://provider.example/").endswith("which the environment names)")
    monkeypatch.setenv("http_proxy", "http://user:p%40ss@proxy.example:8080")
    proxy = proxies.proxy_for("http://provider.example/")
    assert proxy is not None
    assert proxy.credentials == ("user", "p@ss")
    for nonsense in ("http://:80", "http://[::1", "http://a:b:c"):
        monkeypatch.setenv("http_proxy", nonsense)
        assert proxies.proxy_for("http://provider.example/") is None
    assert proxies.through("http://[") == ""
