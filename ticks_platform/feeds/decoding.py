"""What the decoders of all providers' JSON share."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
from msgspec import Meta

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bad input; RecursionError when it is nested too deeply."""

Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A number that is neither NaN nor infinite. JSON has no such numbers, but a string may spell them."""
