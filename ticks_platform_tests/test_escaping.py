"""Symbols and messages that are markup somewhere."""

from __future__ import annotations

import pytest

from ticks_platform.escaping import chat, lines, markdown, markdown_cell, printable

SYMBOL = "x](http://e/p.png) ![y"


def test_markdown_has_neither_link_nor_image() -> None:
    shown = markdown_cell(f"{SYMBOL}|<img src=x>\n# h")
    assert shown == "x\\](http:\u200b//e/p.png) !\\[y\\|\\<img src=x>\\\\n# h"
    assert markdown("AAPL, BRK.B and one_minute_candle: 3 of 4 (75 %)") == (
        "AAPL, BRK.B and one_minute_candle: 3 of 4 (75 %)"
    )


def test_a_chat_finds_no_link_and_no_mention() -> None:
    assert chat(f"{SYMBOL} @here") == "x]\u200b(http:\u200b//e/p.png) ![y @\u200bhere"


@pytest.mark.parametrize("character", ["\x1b", "\x9b", "\x07", "\r", "\u202e", "\u2066"])
def test_a_terminal_is_not_commanded(character: str) -> None:
    for shown in (printable(f"a{character}b"), lines(f"a{character}b")):
        assert character not in shown
        assert shown.startswith("a\\")


def test_lines_stay() -> None:
    assert lines("a\n\tb é €") == "a\n\tb é €"
    assert printable("a\nb") == "a\\nb"
