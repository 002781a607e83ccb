"""Commands by name: what each takes and returns is known, and a call that is wrong is an answer like any other."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ticks_standin import StandIn, StandInError, StandInProcess, StandInSettings
from ticks_standin.commands import Commands
from ticks_standin.remote import Answer, Call, Command, command, dispatch


class Recorder:
    """Commands of this test's own."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    @command()
    async def record_everything(
        self, *names: str, at: datetime | None, file: Path = Path("a"), timeout_s: float = 1.0
    ) -> list[str]:
        self.calls.append((names, at, file, timeout_s))
        return list(names)


def ask(target: object, name: str, arguments: dict[str, Any]) -> Answer:
    call = Call(1, name, msgspec.Raw(msgspec.json.encode(arguments, enc_hook=str)))
    return asyncio.run(dispatch(target, msgspec.json.encode(call)))


def test_every_public_method_is_a_command_with_types() -> None:
    methods = {name for name, value in vars(Commands).items() if callable(value) and not name.startswith("_")}
    assert len(methods) > 30
    for name in methods:
        answer = ask(Commands, name, {"no_such_argument": 1})
        assert answer.error is not None
        assert answer.error.startswith(f"{name}: Object "), answer.error


def test_arguments_arrive_as_they_were_given() -> None:
    recorder, defined = Recorder(), Command(Recorder.record_everything.__wrapped__, 10.0)  # type: ignore[attr-defined]
    at = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=timezone(timedelta(hours=2)))
    given = defined.bind("x", "y", at=at, file=Path("b"))
    assert defined.timeout_s(given) == 6.0, "longer than the command takes itself"
    answer = ask(recorder, "record_everything", given)
    assert (answer.error, defined.decode_result(answer.result)) == (None, ["x", "y"])
    assert recorder.calls == [(("x", "y"), at, Path("b"), 1.0)]
    assert ask(recorder, "record_everything", {"at": None}).error is None
    assert recorder.calls[1:] == [((), None, Path("a"), 1.0)]


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("no_such_command", {}, "unknown command 'no_such_command'"),
        ("_need_history", {}, "unknown command '_need_history'"),
        ("record_everything", {"names": [1], "at": None}, "Expected `str`, got `int`"),
        ("record_everything", {"names": ["x"]}, "missing required field `at`"),
    ],
)
def test_a_wrong_call_is_answered(name: str, arguments: dict[str, Any], error: str) -> None:
    recorder = Recorder()
    answer = ask(recorder, name, arguments)
    assert error in (answer.error or "")
    assert not recorder.calls


@pytest.mark.parametrize("line", [b"", b"drop_connections", b"[]", b'{"number":1,"command":"account"}'])
def test_a_line_that_is_no_call_is_answered(line: bytes) -> None:
    answer = asyncio.run(dispatch(Recorder(), line))
    assert answer.number == 0
    assert (answer.error or "").startswith("not a call: ")


def test_a_wrong_argument_ends_neither_kind_of_stand_in() -> None:
    with StandIn(StandInSettings(rate=0)) as thread, StandInProcess(StandInSettings(rate=0)) as child:
        with pytest.raises(StandInError, match="drop_next: Expected `int`, got `str`"):
            child.drop_next("many")  # type: ignore[arg-type]
        for stand_in in (thread, child):
            with pytest.raises(TypeError, match="no_such"):
                stand_in.drop_next(no_such=1)  # type: ignore[call-arg]
            with pytest.raises(StandInError, match="no open connection 7"):
                stand_in.freeze(7)
            assert stand_in.drop_twice() == 0
            assert stand_in.account().connections == []
