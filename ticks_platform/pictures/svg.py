"""Parts of an SVG that all pictures share."""

from __future__ import annotations

from xml.sax.saxutils import escape

from ticks_platform.escaping import lines

INK, GRID = "#52606d", "#e4e7eb"
HEADING = "#1f2933"
"""Colour of titles and names."""


def document(body: str, width: int, height: int, *, scale: float = 1.0) -> str:
    """An SVG of this size in pixels on a white background; with `scale`, it is shown larger or smaller."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width * scale:.0f}" height="{height * scale:.0f}" '
        f'font-family="sans-serif" font-size="11"><rect width="{width}" height="{height}" fill="#fff"/>{body}</svg>'
    )


def text(
    x: float, y: float, content: str, *, size: int = 11, weight: str = "normal", anchor: str = "start", fill: str = INK
) -> str:
    """A text whose baseline starts, or with `anchor` ends or has its middle, at this point."""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(lines(content))}</text>'
    )
