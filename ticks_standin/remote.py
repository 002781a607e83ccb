"""Commands are called by name: from another thread, or from another process as lines of JSON."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import GenericAlias
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints

import msgspec

from ticks_standin.errors import StandInError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_GRACE_S = 5.0


class Call(msgspec.Struct):
    """A line to the stand-in's process; ``arguments`` are given by name."""

    number: int
    command: str
    arguments: msgspec.Raw


class Answer(msgspec.Struct):
    """A line that the stand-in's process prints for each call, in the order of completion."""

    number: int
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None


class Command(Generic[Result]):
    """A coroutine method that can be called by name. Its annotations are the types of arguments and result in JSON."""

    def __init__(self, body: Callable[..., Coroutine[Any, Any, Result]], answer_s: float) -> None:
        self.name = body.__name__
        self._body = body
        self._answer_s = answer_s
        self._signature = inspect.signature(body)

    def bind(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """All arguments of a call by name, defaults included. Raises TypeError as a call does."""
        bound = self._signature.bind(None, *arguments, **named)
        bound.apply_defaults()
        del bound.arguments["self"]
        return bound.arguments

    def timeout_s(self, arguments: Mapping[str, Any]) -> float:
        """Seconds to wait for the answer; a command with a ``timeout_s`` of its own fails by itself before that."""
        return float(arguments["timeout_s"]) + _GRACE_S if "timeout_s" in arguments else self._answer_s

    def run(self, target: object, arguments: Mapping[str, Any]) -> Coroutine[Any, Any, Result]:
        """Carry it out on ``target``, in the event loop of the server."""
        bound = inspect.BoundArguments(self._signature, OrderedDict(self=target, **arguments))
        return self._body(*bound.args, **bound.kwargs)

    def decode_arguments(self, text: msgspec.Raw) -> dict[str, Any]:
        """Arguments that came as JSON. Raises msgspec.ValidationError."""
        return msgspec.structs.asdict(msgspec.json.decode(text, type=self._types[0], dec_hook=_decode_path))

    def decode_result(self, text: msgspec.Raw) -> Result:
        """A result that came as JSON."""
        result: Result = msgspec.json.decode(text, type=self._types[1])
        return result

    @functools.cached_property
    def _types(self) -> tuple[type[msgspec.Struct], Any]:
        hints = get_type_hints(self._body)
        fields: list[tuple[str, Any, Any]] = []
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                fields.append((name, GenericAlias(tuple, (hints[name], ...)), ()))
            elif name != "self":
                required = parameter.default is parameter.empty
                fields.append((name, hints[name], msgspec.NODEFAULT if required else parameter.default))
        return msgspec.defstruct(self.name, fields, kw_only=True, forbid_unknown_fields=True), hints["return"]


class Caller(ABC):
    """An object whose commands are carried out elsewhere."""

    @abstractmethod
    def _call(self, command: Command[Result], arguments: dict[str, Any], timeout_s: float) -> Result:
        """Have a command carried out and wait for its result. Raises StandInError, also when it takes too long."""


_commands: dict[str, Command[Any]] = {}

# The first argument is the instance: of the class that defines the command, and of a Caller when it is called.
_Method = Callable[Concatenate[Any, Parameters], Result]
_Body = Callable[Concatenate[Any, Parameters], Coroutine[Any, Any, Result]]


def command(answer_s: float = 10.0) -> Callable[[_Body[Parameters, Result]], _Method[Parameters, Result]]:
    """Make a coroutine method a command: called on a :class:`Caller`, it blocks until the server has carried it out.

    ``answer_s`` is the time within which it answers, for a command without an argument ``timeout_s``.
    """

    def decorate(body: _Body[Parameters, Result]) -> _Method[Parameters, Result]:
        defined = _commands[body.__name__] = Command(body, answer_s)

        @functools.wraps(body)
        def call(caller: Any, /, *arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
            bound = defined.bind(*arguments, **named)
            result: Result = caller._call(defined, bound, defined.timeout_s(bound))
            return result

        return call

    return decorate


async def dispatch(target: object, line: bytes) -> Answer:
    """Carry out a :class:`Call`. An error is an answer too; its number is 0 if the line is not a call."""
    try:
        call = msgspec.json.decode(line, type=Call)
    except msgspec.DecodeError as error:
        return Answer(0, error=f"not a call: {error}")
    if call.command not in _commands:
        return Answer(call.number, error=f"unknown command {call.command!r}")
    called = _commands[call.command]
    try:
        result = await called.run(target, called.decode_arguments(call.arguments))
    except msgspec.ValidationError as error:
        return Answer(call.number, error=f"{call.command}: {error}")
    except (StandInError, OSError) as error:
        return Answer(call.number, error=str(error))
    return Answer(call.number, msgspec.Raw(msgspec.json.encode(result)))


def encode_call(number: int, command: Command[Any], arguments: dict[str, Any]) -> bytes:
    """The line for a call."""
    given = msgspec.Raw(msgspec.json.encode(arguments, enc_hook=str))
    return msgspec.json.encode(Call(number, command.name, given)) + b"\n"


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
