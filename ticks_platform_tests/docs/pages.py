"""The pages of the documentation, as its tests read them: headings, links, blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_IMAGE = re.compile(r"!\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)

_INCLUDE = re.compile(r"^```\{include\} (\S+)$", re.MULTILINE)

NOT_RUN = "no-run"
"""After a block's language: it is not run, since it needs what a test has not, such as another server."""


class Block(NamedTuple):
    """A fenced block of code."""

    page: Page
    language: str
    runs: bool
    text: str

    @property
    def file(self) -> str | None:
        """The file that a reader saves it as, which its first line names: a path in the project."""
        found = re.match(r"# ([\w./]+\.\w+)$", self.text.partition("\n")[0])
        return found[1] if found else None


class Page(NamedTuple):
    """A Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the checkout."""
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    def blocks(self, *languages: str) -> list[Block]:
        """The blocks in these languages, in order."""
        found = []
        for match in _FENCE.finditer(self.text):
            language, _, rest = match["info"].strip().partition(" ")
            if language in languages:
                indent = len(match["indent"])
                body = "".join(line[indent:] for line in match["body"].splitlines(keepends=True))
                found.append(Block(self, language, rest != NOT_RUN, body))
        return found

    def prose(self) -> str:
        """The text without its blocks of code."""
        return _FENCE.sub("", self.text)

    def links(self) -> Iterator[str]:
        """Targets of links and images, in order, without those to other sites."""
        prose = _CODE.sub("`", self.prose())
        for pattern in (_LINK, _IMAGE):
            for match in pattern.finditer(prose):
                if "://" not in match["target"]:
                    yield match["target"]

    def anchors(self) -> set[str]:
        """The anchors of its headings, as code hosts and MyST make them."""
        included = [Page((self.path.parent / name).resolve()) for name in _INCLUDE.findall(self.text)]
        own = {slug(match["text"]) for match in _HEADING.finditer(self.prose())}
        return own.union(*(page.anchors() for page in included))

    def inline_code(self) -> list[str]:
        """The texts in backticks outside of blocks."""
        return [code.strip("`") for code in _CODE.findall(self.prose())]


def slug(heading: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def site() -> list[Page]:
    """The pages of the site."""
    return [Page(path) for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts]


def documents() -> list[Page]:
    """Those, and what stands beside them."""
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "ticks_standin/README.md", "embedded_timescale/README.md")
    return [*site(), *(Page(ROOT / name) for name in names)]
