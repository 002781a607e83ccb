"""The stand-in as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest

from ticks_platform_tests.support.timing import between
from ticks_platform_tests.ticks_standin.rates import share_of_rate
from ticks_standin import StandIn, StandInError, StandInProcess, StandInSettings

Connect = Callable[..., Any]

COMMAND = [sys.executable, "-m", "ticks_standin"]


def test_is_controlled_like_the_one_in_the_process(connect: Connect) -> None:
    settings = StandInSettings(
        rate=0, record=True, seed=5, keys=["a", "b"], fails_null=False, status_style="documented"
    )
    heard = []
    with StandInProcess(settings) as child, StandIn(settings) as thread:
        for stand_in in (child, thread):
            client = connect(stand_in.url(key="a"))
            assert client.act("subscribe", "AAPL,BTC/USD")["fails"] == []
            stand_in.wait_until_subscribed("AAPL")
            stand_in.send_exactly(700)
            heard.append([(event["symbol"], event["price"]) for event in client.hear_prices(700)])
            assert stand_in.inject(b"\x00", "{}") == 1
            assert [client.socket.recv_data()[1] for _ in range(2)] == [b"\x00", b"{}"]
            (account,) = stand_in.account().connections
            assert account.sent == [*client.heard, b"\x00", b"{}"]
            stand_in.go_mute()
            stand_in.unmute()
            stand_in.pause_accepting()
            stand_in.resume_accepting()
            with pytest.raises(StandInError, match="nobody subscribed to TSLA"):
                stand_in.wait_until_subscribed("TSLA", timeout_s=0.01)
            assert stand_in.drop_connections() == 1
            assert client.hear_end() is None
            assert stand_in.close_connections() == 0
    assert heard[0] == heard[1]


def test_high_rate_is_held_over_one_connection(connect: Connect) -> None:
    with StandInProcess(StandInSettings(rate=20_000, accept_any_symbol=True)) as child:
        client = connect(child.url())
        client.act("subscribe", ",".join(f"S{number:04d}" for number in range(1_500)))
        between(0.85, 1.15, lambda: share_of_rate(child, client, 20_000))


def test_close_ends_it() -> None:
    child = StandInProcess()
    child.close()
    with pytest.raises(ProcessLookupError):
        signal_nothing(child.pid)
    with pytest.raises(StandInError, match="has ended"):
        child.account()


def test_crash_is_noticed(connect: Connect) -> None:
    with StandInProcess(StandInSettings(rate=0)) as child:
        client = connect(child.url())
        client.act("heartbeat")
        child.kill()
        assert client.hear_end() is None
        with pytest.raises(StandInError, match="has ended"):
            child.account()


def test_failure_to_start_says_why() -> None:
    with StandIn() as stand_in:
        port = int(stand_in.http_url.rpartition(":")[2])
        with pytest.raises(StandInError, match=f"cannot listen on 127.0.0.1:{port}"):
            StandInProcess(StandInSettings(port=port))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--host", "0.0.0.0"], "--host: .*loopback only"),
        (["--rate=-1"], "--rate: "),
        (["--bad-key-mode", "418"], "--bad-key-mode: "),
        (["--no-such-knob"], "--no-such-knob"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], problem: str) -> None:
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert re.search(problem, ended.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly(connect: Connect, number: signal.Signals) -> None:
    command = [*COMMAND, "--rate", "500", "--seed", "7", "--keys", "a,b", "--record"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        greeting = json.loads(child.stdout.readline())
        assert greeting["host"] == "127.0.0.1"
        assert str(greeting["port"]) in greeting["urls"]["twelve_data"]
        client = connect(greeting["urls"]["twelve_data"] + "?apikey=b")
        client.act("subscribe", "AAPL")
        client.hear_prices(10)
        child.send_signal(number)
        output, errors = child.communicate(timeout=60)
        assert (child.returncode, output, errors) == (0, "", "")


def test_the_old_name_is_a_hint() -> None:
    command = [sys.executable, "-m", "ticks_platform.standin", "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "`python -m ticks_standin`" in ended.stderr
    assert "usage: python -m ticks_standin" in ended.stdout


def test_dies_with_its_parent() -> None:
    script = """
        import sys, time
        from ticks_standin import StandInProcess
        child = StandInProcess()
        print(child.pid, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        signal_nothing(pid)
        parent.kill()
        deadline = time.monotonic() + 60
        while alive(pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def signal_nothing(pid: int) -> None:
    """Raises ProcessLookupError if there is no such process."""
    os.kill(pid, 0)


def alive(pid: int) -> bool:
    """Whether it runs: where nobody reaps orphans, an ended process stays as a zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")
