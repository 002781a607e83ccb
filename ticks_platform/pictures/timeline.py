"""A timeline of gaps as SVG: one lane per symbol, time from left to right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from ticks_platform.pictures.svg import GRID, HEADING, document, text

WIDTH, LANE, BAR = 900, 18, 11
LEFT, RIGHT, TOP, LINE = 120, 12, 34, 16
NARROWEST = 1.6
"""Minimum width of a gap in pixels: a second of a day would be invisible."""

LONGEST_NAME = 13
"""Characters of a symbol that fit."""

LISTENING, CLOSED = "#cfe8dd", "#c9ced6"

COLOURS = {
    "disconnected": "#e53935",
    "clock_stepped": "#6d4c41",
    "slept": "#6d4c41",
    "stalled": "#f06292",
    "silent": "#ef9a9a",
    "killed": "#7f1d1d",
    "stopped": "#f4723b",
    "refused": "#ad1457",
    "unsubscribed": "#d98880",
    "not_subscribed": "#b0413e",
}
"""Open gaps, by cause."""
OTHER = "#e53935"
STATES = {"repaired": "#12805c", "unrepairable": "#111827", "ignored": "#8296ad"}
"""Gaps that are no longer open, by state."""

_TICKS = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440))
_MOST_TICKS = 9


class Span(NamedTuple):
    """A part of a lane; its kind is a key of COLOURS or STATES, or `closed`, or `not wanted`."""

    begin: datetime
    end: datetime
    kind: str


class Lane(NamedTuple):
    """The spans of a symbol; the rest of the time it was being received."""

    symbol: str
    spans: Sequence[Span]


def draw(title: str, lanes: Sequence[Lane], *, begin: datetime, end: datetime) -> str:
    """An SVG of these lanes from `begin` to `end`; spans are clipped."""
    bottom = TOP + len(lanes) * LANE
    legend, rows = _legend(lanes, bottom + 36)
    height = bottom + 30 + rows * LINE
    body = "".join(
        (
            text(8, 18, title, size=13, weight="bold", fill=HEADING),
            *_axis(begin, end, bottom),
            *(part for place, lane in enumerate(lanes) for part in _lane(lane, TOP + place * LANE, begin, end)),
            *legend,
        )
    )
    return document(body, WIDTH, height)


def _x(moment: datetime, begin: datetime, end: datetime) -> float:
    share = (moment - begin) / (end - begin)
    return LEFT + min(1.0, max(0.0, share)) * (WIDTH - LEFT - RIGHT)


def _colour(kind: str) -> str:
    if kind == "closed":
        return CLOSED
    return STATES.get(kind) or COLOURS.get(kind, OTHER)


def _lane(lane: Lane, top: float, begin: datetime, end: datetime) -> Iterator[str]:
    name = lane.symbol if len(lane.symbol) <= LONGEST_NAME else f"{lane.symbol[: LONGEST_NAME - 1]}…"
    middle = top + LANE / 2
    yield text(LEFT - 8, middle + 4, name, anchor="end", fill=HEADING)
    yield f'<path d="M{LEFT} {middle}H{WIDTH - RIGHT}" stroke="{LISTENING}" stroke-width="{BAR}"/>'
    paths: dict[str, list[str]] = {}
    # Market hours first, gaps on top of them.
    for span in sorted(lane.spans, key=lambda span: span.kind not in ("closed", "not wanted")):
        left, right = _x(span.begin, begin, end), _x(span.end, begin, end)
        if span.kind not in ("closed", "not wanted"):
            right = max(right, left + NARROWEST)
        if right > left:
            paths.setdefault(span.kind, []).append(f"M{left:.1f} {middle}H{right:.1f}")
    for kind, path in paths.items():
        colour = "#fff" if kind == "not wanted" else _colour(kind)
        yield f'<path class={quoteattr(kind)} d="{"".join(path)}" stroke="{colour}" stroke-width="{BAR}"/>'


def _axis(begin: datetime, end: datetime, bottom: float) -> Iterator[str]:
    step = next((step for step in _TICKS if (end - begin) / step <= _MOST_TICKS), _TICKS[-1])
    midnight = begin.astimezone(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    moment = midnight + -(-(begin - midnight) // step) * step
    while moment <= end:
        x = _x(moment, begin, end)
        pattern = "%b %d" if (moment.hour, moment.minute) == (0, 0) else "%H:%M"
        yield f'<path d="M{x:.1f} {TOP - 4}V{bottom + 3}" stroke="{GRID}"/>'
        yield text(x, bottom + 15, moment.strftime(pattern), anchor="middle")
        moment += step
    yield text(LEFT - 8, bottom + 15, "UTC", anchor="end")


def _legend(lanes: Sequence[Lane], y: float) -> tuple[list[str], int]:
    """The legend of the colours in use, and its number of lines."""
    used = {span.kind for lane in lanes for span in lane.spans}
    shown = [("listening", LISTENING), ("closed", CLOSED)]
    shown += [(kind, _colour(kind)) for kind in (*COLOURS, *STATES) if kind in used]
    x, lines, parts = float(LEFT), 1, []
    for kind, colour in shown:
        if kind == "closed" and kind not in used:
            continue
        width = 30 + 6.2 * len(kind)
        if x + width > WIDTH:
            x, y, lines = float(LEFT), y + LINE, lines + 1
        parts.append(f'<rect x="{x:.0f}" y="{y - 9:.0f}" width="10" height="10" fill="{colour}"/>')
        parts.append(text(x + 14, y, kind.replace("_", " ")))
        x += width
    return parts, lines
