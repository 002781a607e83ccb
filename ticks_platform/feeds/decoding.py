"""What the decoders of all providers' JSON share."""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Annotated, Any, Generic, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bad input; RecursionError when it is nested too deeply."""

Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A number that is neither NaN nor infinite. JSON has no such numbers, but a string may spell them."""

_Event = TypeVar("_Event", bound=msgspec.Struct)

_SURROGATE = re.compile("[\ud800-\udfff]")

_LONGEST_INTEGER = 300
"""Digits; longer ones are beyond what a float can hold."""

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class OptionalFields(Generic[_Event]):
    """Decodes events of one type of which an optional field has a value that its column cannot hold.

    Slower than the type's decoder, so it is for what that one refuses: no optional field costs a price.
    """

    def __init__(self, event: type[_Event], required: tuple[str, ...]) -> None:
        """`required` are the names of the fields, in the JSON, whose values must be right."""
        self._event = event
        self._required = required
        hints = get_type_hints(event, include_extras=True)
        self._decoders = {
            name: (field, msgspec.json.Decoder(hints[field], strict=False).decode)
            for field, name in zip(event.__struct_fields__, event.__struct_encode_fields__, strict=True)
        }

    def decode(self, raw: bytes) -> tuple[_Event, tuple[str, ...]]:
        """The event, and the names of the fields that are left out, at least one. Raises one of UNDECODABLE."""
        values = _decode_object(raw)
        found: dict[str, Any] = {}
        left_out = []
        for name, (field, decode) in self._decoders.items():
            if name not in values:
                continue
            try:
                found[field] = decode(values[name])
            except UNDECODABLE as error:
                if name in self._required:
                    raise msgspec.ValidationError(f"{error} - at `$.{name}`") from None
                left_out.append(name)
        if not left_out:
            raise msgspec.ValidationError("its fault is in no optional field")
        try:
            return self._event(**found), tuple(left_out)
        except TypeError as error:  # a required field is missing
            raise msgspec.ValidationError(str(error)) from None


def repaired(frame: bytes) -> bytes | None:
    """A frame with values that msgspec does not read, without them: so that they cost no more than their own field.

    Numbers that no float holds, NaN and Infinity, which Python's own encoder writes, become texts; texts that are no
    Unicode become empty lists, which are no value of any field. None if there are none, or other faults.
    """
    found: list[object] = []

    def odd(value: str) -> str:
        found.append(value)
        return value

    def number(text: str) -> float | str:
        value = float(text)
        return value if math.isfinite(value) else odd(text)

    def integer(text: str) -> int | str:
        return int(text) if len(text) < _LONGEST_INTEGER else odd(text)

    def storable(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: storable(each) for key, each in value.items()}
        if isinstance(value, list):
            return list(map(storable, value))
        if isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
            odd(value)
            return []
        return value

    try:
        text = frame.decode(errors="surrogateescape")
        value = storable(json.loads(text, parse_constant=odd, parse_float=number, parse_int=integer))
        return json.dumps(value).encode() if found else None
    except (ValueError, RecursionError):
        return None
