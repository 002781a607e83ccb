"""Text from outside, such as symbols and a provider's messages, for where it is shown.

What is harmless is unchanged. SVG and HTML are escaped where they are written, with the standard library.
"""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, which move a terminal's cursor or start a line, and those that turn the direction of text."""

_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]")
"""The same without line breaks, and what no XML document may have."""

_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)", re.IGNORECASE)

_INVISIBLE = "\u200b"
"""A space without width. It breaks what some programs make a link of without being asked."""


def printable(text: str) -> str:
    """One line without control characters: each is written as an escape, such as ``\\x1b``."""
    return _CONTROLS.sub(_escape, text)


def lines(text: str) -> str:
    """As `printable`, for a terminal or a log that may have several lines."""
    return _NO_TEXT.sub(_escape, text)


def markdown(text: str) -> str:
    """A text within Markdown, in which nothing becomes a link, an image or HTML."""
    return _ADDRESS.sub(_INVISIBLE, re.sub(r"([\\\[\]<`])", r"\\\1", printable(text)))


def markdown_cell(text: str) -> str:
    """As `markdown`, in a cell of a table."""
    return markdown(text).replace("|", "\\|")


def chat(text: str) -> str:
    """A text for a chat in which no link, image or mention is found, in Slack's dialect or in Markdown's."""
    text = _ADDRESS.sub(_INVISIBLE, printable(text)).replace("](", f"]{_INVISIBLE}(")
    return re.sub(r"@(?=\w)", f"@{_INVISIBLE}", text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return {"\n": "\\n", "\r": "\\r"}.get(character) or character.encode("unicode_escape", "replace").decode()
