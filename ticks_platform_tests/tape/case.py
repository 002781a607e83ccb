"""A case: a file with feeds, their frames in order of arrival, and the candles that are right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ticks_platform.feeds.settings import FeedSettings

REFUSED_IF_PRIMARY = re.compile(r"refused when both feeds are primary", re.IGNORECASE)
"""What the note of a case says if the same feeds are refused without `candles: false`."""


class CaseError(Exception):
    """A file that is not a case."""


class Frame(NamedTuple):
    """One frame, and what of other frames its order of arrival matters to."""

    data: bytes
    keys: frozenset[tuple[object, ...]]
    """Frames with a common key share an instant or a trade, so that the first of them to arrive is special."""
    has_ids: bool
    """Whether the provider may send it again without harm: all of its trades have ids, and it has no other ticks."""


class CaseFeed(NamedTuple):
    """A feed of a case."""

    name: str
    settings: dict[str, Any]
    """As in feeds.yaml, without an endpoint."""
    frames: tuple[Frame, ...]


Row = Mapping[str, Any]
"""Columns of a candle; `bucket` is a datetime."""


class Case(NamedTuple):
    """What one file says."""

    name: str
    what: str
    note: str
    feeds: tuple[CaseFeed, ...]
    expected: tuple[Row, ...] | None
    """None if the feeds are to be refused."""
    expected_before: tuple[Row, ...] | None
    """Before the true-up."""
    refusal: tuple[str, ...] | None
    """What the refusal has to say."""
    rest: dict[str | None, list[dict[str, Any]]]
    """Trades of the day by symbol, as REST gives them; None for those without a symbol."""
    bars: dict[str | None, list[dict[str, Any]]]

    @property
    def has_true_up(self) -> bool:
        """Whether only REST tells the right candles."""
        return bool(self.rest or self.bars)


def read(path: Path) -> Case:
    """Read a file. Raises CaseError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        feeds = tuple(_feed(number, feed) for number, feed in enumerate(content["feeds"]))
        if not feeds:
            raise ValueError("it has no feeds")  # noqa: TRY301  (told like what else is wrong)
        refusal = _refusal(content, feeds)
        expected = None if refusal is not None else _rows(content["expected"])
        before = _rows(content["expected_before"]) if content.get("expected_before") is not None else None
        return Case(
            path.stem,
            str(content.get("what", "")),
            str(content.get("note", "")),
            feeds,
            expected,
            before,
            refusal,
            _by_symbol(content.get("rest"), feeds),
            _by_symbol(content.get("bars")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CaseError(f"{path.name} is not a case: {type(error).__name__}: {error}") from error


def files(folder: Path) -> list[Path]:
    """The files of a folder. Raises CaseError if there are none."""
    found = sorted(folder.glob("*.json"))
    if not found:
        raise CaseError(f"there is no *.json in {folder}")
    return found


def _refusal(content: Mapping[str, Any], feeds: Iterable[CaseFeed]) -> tuple[str, ...] | None:
    """What the refusal has to name, if the file wants one: the feeds, and the words of `expected_error`.

    An `expected` that is no list, such as `null` or «refused», wants one too.
    """
    error = content.get("expected_error")
    if not error and isinstance(content["expected"], list):
        return None
    words = [error] if isinstance(error, str) else error if isinstance(error, list) else []
    return (*(feed.name for feed in feeds), *(str(word) for word in words))


def _rows(rows: Iterable[Mapping[str, Any]]) -> tuple[Row, ...]:
    return tuple({**row, "bucket": _time(row["bucket"])} for row in rows)


def _time(text: str) -> datetime:
    # Python 3.10 reads neither «Z» nor «+00».
    at = datetime.fromisoformat(re.sub(r"([+-]\d\d)$", r"\1:00", text.strip().replace("Z", "+00:00")))
    if at.tzinfo is None:
        raise ValueError(f"the bucket {text} has no time zone")
    return at


def _by_symbol(given: Any, feeds: Iterable[CaseFeed] = ()) -> dict[str | None, list[dict[str, Any]]]:
    """Results of REST by symbol, given as a list, or as a mapping of symbols to lists."""
    if isinstance(given, dict):
        return {symbol: list(results) for symbol, results in given.items()}
    # A result does not name its symbol; where there are several, the trade's id tells.
    traded = {key[3]: key[1] for feed in feeds for frame in feed.frames for key in frame.keys if key[0] == "trade"}
    found: dict[str | None, list[dict[str, Any]]] = {}
    for result in given or []:
        symbol = next((result[key] for key in ("sym", "symbol", "ticker", "T") if key in result), None)
        found.setdefault(symbol or traded.get(result.get("id")), []).append(result)  # type: ignore[arg-type]
    return found


def _feed(number: int, feed: Mapping[str, Any]) -> CaseFeed:
    name = feed.get("feed") or feed.get("name") or f"feed_{number}"
    settings = {key: value for key, value in feed.items() if key in FeedSettings.model_fields and key != "name"}
    frames = [_frame(frame, feed.get("provider")) for frame in feed["frames"]]
    symbols = dict.fromkeys(symbol for frame in feed["frames"] for symbol in _symbols(_events(frame)))
    settings.setdefault("symbols", list(symbols))
    return CaseFeed(name, settings, tuple(frames))


def _frame(frame: Any, provider: str | None) -> Frame:
    if isinstance(frame, dict) and provider == "polygon":
        frame = [frame]
    events = _events(frame)
    keys: set[tuple[object, ...]] = set()
    for event in events:
        symbol = next(_symbols([event]), None)
        for key in ("t", "timestamp", "time"):
            if event.get(key) is not None:
                keys.add(("time", symbol, event[key]))
        for key in ("i", "trade_id"):
            if event.get(key) is not None:
                keys.add(("trade", symbol, event.get("x"), event[key]))
    data = frame if isinstance(frame, str) else json.dumps(frame)
    ticks = [event for event in events if event.get("ev") not in ("Q", "XQ", "A", "AM", "XA", "XAS", "CA", "CAS")]
    has_ids = bool(events) and all(event.get("i") is not None or "trade_id" in event for event in ticks)
    return Frame(data.encode(), frozenset(keys), has_ids)


def _events(frame: Any) -> list[Mapping[str, Any]]:
    """The events of a frame; a string is a frame in the provider's own bytes, whatever is in them."""
    if isinstance(frame, str):
        try:
            frame = json.loads(frame)
        except ValueError:
            return []
    events = frame if isinstance(frame, list) else [frame]
    return [event for event in events if isinstance(event, dict)]


def _symbols(events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The symbols that events name, each provider and channel under a key of its own."""
    for event in events:
        keys = {"V": ("T",), "C": ("p",)}.get(str(event.get("ev")), ("sym", "symbol", "pair", "product_id"))
        for key in keys:
            if isinstance(event.get(key), str) and event[key]:
                yield event[key]
                break
