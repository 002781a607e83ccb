"""What the text of a provider's error is about. Texts are not documented, so what is doubtful is taken to pass."""

from __future__ import annotations

import re
from collections.abc import Container

_URL = re.compile(r"https?://\S+")

_PASSES = re.compile(
    r"too many|limit|exceed|maximum|credit|quota|slow down|throttl|\brate\b|try again|\blater\b|tempor"
    r"|time[sd]?[ -]?out|unavailable|maintenance|overload|\bbusy\b|internal|\bwait\b",
    re.IGNORECASE,
)
"""Of what passes by itself, or after the client has slowed down."""

_SUBSCRIPTIONS = r"(subscription|symbol|channel|ticker|contract|instrument|stream)s?"
_TOO_MUCH = r"(limit|maximum|\bmax\b|quota|exceed|too many|credit)"
_SUBSCRIPTION_LIMIT = re.compile(
    rf"\b{_SUBSCRIPTIONS}\b.{{0,60}}{_TOO_MUCH}|{_TOO_MUCH}.{{0,60}}\b{_SUBSCRIPTIONS}\b", re.IGNORECASE | re.DOTALL
)

_KEY = r"(api[\s_-]?key|\btoken)\b"
_BAD = (
    r"(incorrect|invalid|not valid|wrong|not specified|not provided|missing|not found|unknown|expired|revoked|disabled"
    r"|deactivated|required|not recogni[sz]ed|does ?n[o']t exist)\b"
)
_BAD_KEY = re.compile(
    rf"{_KEY}\W+(\w+\W+){{0,6}}?{_BAD}|\b(bad|no|{_BAD})\W+(\w+\W+){{0,3}}?{_KEY}|\bbad (api[\s_-]?)?key\b",
    re.IGNORECASE,
)
_ABOUT_DATA = re.compile(
    r"\b(plan|exchange|market|symbol|ticker|channel|tier|upgrade|subscri\w*|entitle\w*|permission)s?\b|\bdata\b",
    re.IGNORECASE,
)
_NOTHING_ELSE = re.compile(r"\W*(unauthori[sz]ed|authentication failed)\W*", re.IGNORECASE)

_NAMED = re.compile(
    r"(?=\b(?:not found|unknown|invalid|symbol|ticker|channel|access(?: to)?|subscribe to)\W+([\w./:^=-]+))"
)
"""Words before a name; they may overlap, as in «symbol not found: X»."""


def passes(message: str) -> bool:
    """Whether an error passes by itself, as far as its text tells: a limit of rate or connections, an outage."""
    return _PASSES.search(_URL.sub("", message)) is not None


def is_subscription_limit(message: str) -> bool:
    """Whether an error says that a plan allows no more subscriptions."""
    return _SUBSCRIPTION_LIMIT.search(_URL.sub("", message)) is not None


def is_wrong_key(message: str) -> bool:
    """Whether an error can be about nothing but a wrong key."""
    text = _URL.sub("", message)
    if _PASSES.search(text) or _ABOUT_DATA.search(text):
        return False
    return _BAD_KEY.search(text) is not None or _NOTHING_ELSE.fullmatch(text) is not None


def is_about_data(message: str) -> bool:
    """Whether an error is about what a plan includes, or about a symbol."""
    text = _URL.sub("", message)
    return _ABOUT_DATA.search(text) is not None or "access" in text.lower()


def named(message: str, channels: Container[str]) -> str | None:
    """The channel, of these, that an error is about, if it names one."""
    found = (match.rstrip(".:") for match in _NAMED.findall(message))
    return next((name for name in found if name in channels), None)
