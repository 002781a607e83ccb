"""The cases that came from the field, and the tool that runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ticks_platform_tests.support.platform_database import PlatformDatabase
from ticks_platform_tests.tape import __main__ as tool
from ticks_platform_tests.tape import running, variants
from ticks_platform_tests.tape.case import Case, CaseError, Frame, read
from ticks_platform_tests.tape.comparing import differences
from ticks_platform_tests.tape.variants import PLAIN, VARIANTS

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))

TRADE = {"ev": "T", "sym": "AAPL", "i": "1", "x": 11, "p": 250.0, "s": 100, "t": 1772568001100, "q": 1}
CANDLE = {"symbol": "AAPL", "bucket": "2026-03-03 20:00:00+00", "open": 250.0, "close": 250.0, "volume": 100}


def each_case() -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in CASES]


@pytest.mark.parametrize("path", each_case())
def test_a_case_is_right(path: Path, platform_database: PlatformDatabase) -> None:
    assert running.run(read(path), platform_database, PLAIN).wrong == ()


@pytest.mark.full
@pytest.mark.parametrize("path", each_case())
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != PLAIN])
def test_a_case_is_right_however_it_comes(path: Path, variant: str, platform_database: PlatformDatabase) -> None:
    case = read(path)
    if not variants.applies(variant, case):
        variant = PLAIN
    assert running.run(case, platform_database, variant).wrong == ()


def write(folder: Path, name: str, **content: Any) -> Path:
    """A case of one trade, with these keys replaced."""
    feed = {"feed": "tape", "provider": "polygon", "options": {"market": "stocks"}, "frames": [[TRADE]]}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"what": "one trade", "feeds": [feed], "expected": [CANDLE], **content}))
    return path


def case(folder: Path, **content: Any) -> Case:
    return read(write(folder, "case", **content))


def test_what_is_wrong_is_told(
    tmp_path: Path, platform_database: PlatformDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = write(tmp_path, "wrong", expected=[{**CANDLE, "close": 251.0, "volume": 100 + 1e-5}])
    assert not tool.is_right(wrong, platform_database, [PLAIN])
    assert capsys.readouterr().out.splitlines() == [
        "WRONG wrong.json (plain): one trade",
        "  AAPL 2026-03-03 20:00: expected open 250.0 close 251.0 volume 100.00001, "
        "came open 250.0 close 250.0 volume 100.0",
    ]
    broken = tmp_path / "broken.json"
    broken.write_text('{"feeds": [{"frames": []}]}')
    assert not tool.is_right(broken, platform_database, [PLAIN])
    assert capsys.readouterr().out == "WRONG broken.json is not a case: KeyError: 'expected'\n"


@pytest.mark.full
def test_the_tool_as_a_process(tmp_path: Path, repository_root: Path) -> None:
    def run(*arguments: object) -> tuple[int, str]:
        command = [sys.executable, "-m", "ticks_platform_tests.tape", *map(str, arguments)]
        done = subprocess.run(command, cwd=repository_root, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, (done.stdout or done.stderr).splitlines()[-1]

    write(tmp_path, "good")
    assert run(tmp_path, "--variants", "all") == (0, "1 of 1 right")
    write(tmp_path, "wrong", expected=[])
    assert run(tmp_path) == (1, "1 of 2 right")


def test_a_folder_without_cases_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        ([str(tmp_path)], f"there is no *.json in {tmp_path}"),
        ([str(tmp_path / "absent")], "absent is not a folder"),
        ([str(tmp_path), "--variants", "plain,odd"], "no variant odd"),
    ):
        with pytest.raises(SystemExit) as ended:
            tool.main(arguments)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err


def test_an_empty_candle_need_not_be_expected() -> None:
    at = datetime(2026, 3, 3, 20, tzinfo=timezone.utc)
    nothing = dict.fromkeys(("open", "high", "low", "close", "volume"))
    assert differences([], {("AAPL", at): nothing}) == []
    assert differences([], {("AAPL", at): {**nothing, "volume": 0.0}}) != []
    row = {"symbol": "AAPL", "bucket": at, **nothing}
    assert differences([row], {}) == [
        "AAPL 2026-03-03 20:00: expected open None high None low None close None volume None, came nothing"
    ]
    assert differences([row], {("AAPL", at): row}) == []
    assert differences([{**row, "volume": 1e9}], {("AAPL", at): {**row, "volume": 1e9 + 0.5}}) == []
    assert differences([{**row, "open": 1e9}], {("AAPL", at): {**row, "open": 1e9 + 1e-6}}) != []


def test_a_refusal_that_is_expected(tmp_path: Path, platform_database: PlatformDatabase) -> None:
    feed = {"feed": "tape", "provider": "polygon", "frames": [[TRADE]]}
    both = [feed, {**feed, "feed": "second"}]
    refused = case(tmp_path, feeds=both, expected=None, expected_error="candles: false")
    assert running.run(refused, platform_database).wrong == ()
    (line,) = running.run(case(tmp_path, feeds=both, expected_error=["AAPL", "MSFT"]), platform_database).wrong
    assert line.startswith("expected a refusal that says MSFT, came: ")
    (line,) = running.run(case(tmp_path, feeds=both), platform_database).wrong
    assert line.startswith("expected candles, came a refusal: ")
    assert running.run(case(tmp_path, expected_error="both"), platform_database).wrong == (
        "expected a refusal, came none",
    )
    note = "refused when both feeds are primary (the message names both); with `candles: false` on the second, this"
    assert running.run(case(tmp_path, feeds=both, note=note), platform_database).wrong == ()
    assert running.run(case(tmp_path, note=note), platform_database).wrong == (
        "all primary: expected a refusal, came none",
    )


def test_frames_of_one_instant_or_one_trade_keep_their_order() -> None:
    frames = [Frame(str(number).encode(), frozenset({("time", number // 3)}), has_ids=True) for number in range(60)]
    shuffled = variants.shuffled(frames)
    assert sorted(shuffled) == sorted(frames)
    assert shuffled != frames
    for third in range(20):
        kept = [int(frame.data) for frame in shuffled if ("time", third) in frame.keys]
        assert kept == sorted(kept)
    assert [frame.data for frame in variants.shuffled(frames[:3])] == [b"0", b"1", b"2"]


def test_symbols_are_those_of_the_frames(tmp_path: Path) -> None:
    frames = [
        [{"ev": "T", "sym": "AAPL"}, {"ev": "AM", "sym": "MSFT"}, {"ev": "status", "status": "success"}],
        [{"ev": "C", "p": "EUR/USD"}, {"ev": "XT", "pair": "BTC-USD"}, {"ev": "V", "T": "I:SPX"}],
        {"ev": "T", "sym": "AAPL"},
        "not JSON",
    ]
    (feed,) = case(tmp_path, feeds=[{"provider": "polygon", "frames": frames, "odd": 1}]).feeds
    assert feed.name == "feed_0"
    assert feed.settings == {"provider": "polygon", "symbols": ["AAPL", "MSFT", "EUR/USD", "BTC-USD", "I:SPX"]}
    assert [frame.data for frame in feed.frames][2:] == [b'[{"ev": "T", "sym": "AAPL"}]', b"not JSON"]


def test_results_of_rest_belong_to_the_symbol_of_their_trade(tmp_path: Path) -> None:
    frames = [[TRADE, {**TRADE, "sym": "MSFT", "i": "2"}]]
    results = [{"id": "1"}, {"id": "2"}, {"id": "3"}, {"id": "4", "ticker": "AAPL"}]
    found = case(tmp_path, feeds=[{"provider": "polygon", "frames": frames}], rest=results).rest
    ids = {symbol: [item["id"] for item in items] for symbol, items in found.items()}
    assert ids == {"AAPL": ["1", "4"], "MSFT": ["2"], None: ["3"]}


def test_what_is_no_case(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"case\.json is not a case: ValueError: the bucket .* has no time zone"):
        case(tmp_path, expected=[{**CANDLE, "bucket": "2026-03-03 20:00"}])


def test_a_candle_that_is_not_expected_is_wrong(tmp_path: Path, platform_database: PlatformDatabase) -> None:
    outcome = running.run(case(tmp_path, expected=[]), platform_database)
    assert outcome.wrong == (
        "AAPL 2026-03-03 20:00: expected nothing, came open 250.0 high 250.0 low 250.0 close 250.0 volume 100.0",
    )
