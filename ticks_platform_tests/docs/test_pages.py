"""What pages name exists: files, anchors, commands, settings. And none is too long."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from ticks_platform.cli.main import ticks
from ticks_platform.feeds.settings import load_settings
from ticks_platform.timescale.policies.settings import load_policies
from ticks_platform_tests.docs.pages import ROOT, Page, documents, site

_FOLDERS = (
    "ticks_platform|ticks_standin|embedded_timescale|ticks_platform_tests|sql|docs|grafana|deploy|examples|conformance"
)
_PATH = re.compile(rf"({_FOLDERS})/[\w./-]*$")


def each(page: Page) -> str:
    return page.name


@pytest.mark.parametrize("page", site(), ids=each)
def test_no_page_is_over_300_lines(page: Page) -> None:
    assert len(page.text.splitlines()) <= 300


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 100


@pytest.mark.parametrize("page", documents(), ids=each)
def test_links_lead_to_files_and_headings(page: Page) -> None:
    for target in page.links():
        name, _, anchor = target.partition("#")
        path = (page.path.parent / name).resolve() if name else page.path
        assert path.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            assert anchor in Page(path).anchors(), f"{page.name} links to {target}: there is no such heading"


@pytest.mark.parametrize("page", documents(), ids=each)
def test_files_that_are_named_exist(page: Page) -> None:
    for code in page.inline_code():
        if _PATH.match(code) and not code.startswith("docs/_build"):
            assert (ROOT / code).exists(), f"{page.name} names {code}, which is not there"


def test_every_page_is_in_the_contents() -> None:
    named = re.findall(r"^[\w/-]+$", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    pages = {str(page.path.relative_to(ROOT / "docs").with_suffix("")) for page in site()}
    assert set(named) == pages - {"index"}


@pytest.mark.parametrize("page", documents(), ids=each)
def test_settings_are_valid(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    for block in page.blocks("yaml"):
        content = yaml.safe_load(block.text)
        if "feeds" in content:
            # A connector that a page has the reader write is not installed here.
            file.write_text(block.text.replace("acme.Acme", "examples.coinbase.Coinbase"), encoding="utf-8")
            load_settings(file)
        else:
            shipped = yaml.safe_load((ROOT / "policies.yaml").read_text(encoding="utf-8"))
            file.write_text(yaml.safe_dump({**shipped, **content}), encoding="utf-8")
            load_policies(file)


@pytest.mark.parametrize("page", documents(), ids=each)
def test_commands_exist(page: Page) -> None:
    for block in page.blocks("sh", ""):
        for line in block.text.splitlines():
            for command in re.findall(r"(?:^|\$\(|&& )((?:ticks|make|python -m) [^)&#|]+)", line.strip()):
                _check_command(command.strip(), f"{page.name}: {line}")
    for code in page.inline_code():
        if re.match(r"(ticks|make|python -m) ", code):
            # `ticks init demo && cd demo` is two; in `ticks dev [--port PORT]` the last word stands for something.
            command = re.sub(r"[\[\]…]|\b[A-Z]{2,}\b|\|.*", "", code.partition(" && ")[0])
            _check_command(command, f"{page.name}: {code}")


def test_messages_that_are_quoted_are_those_of_the_code() -> None:
    sources = [*(ROOT / "ticks_platform").rglob("*.py"), *(ROOT / "embedded_timescale").rglob("*.py")]
    # A message may be several literals, one a line.
    said = re.sub(r'"\s*\n\s*f?"', "", "\n".join(file.read_text(encoding="utf-8") for file in sources))
    page = (ROOT / "docs/operations/troubleshooting.md").read_text(encoding="utf-8").partition("## Checks")[0]
    quoted = [
        text for row in re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE) for text in re.findall("`([^`]+)`", row)
    ]
    assert len(quoted) > 15
    for text in quoted:
        for part in filter(None, (part.strip() for part in text.split("…"))):
            assert part in said, f"troubleshooting.md quotes {text!r}, which nothing says"


def _check_command(command: str, where: str) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = [word for word in words if "=" not in word]
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets), where
    elif program == "python":
        module = words[1]
        assert importlib.util.find_spec(module), where
    else:
        _check_ticks(words, where)


def _check_ticks(words: list[str], where: str) -> None:
    command: click.Command = ticks
    context: click.Context | None = None
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        context = click.Context(command, parent=context)
        found = command.get_command(context, words[0])
        assert found is not None, f"{where}: there is no command {words[0]}"
        command, words = found, words[1:]
    try:
        parsed = command.make_context(command.name, list(words), parent=context, resilient_parsing=True)
    except click.UsageError as error:
        pytest.fail(f"{where}: {error.format_message()}")
    assert not parsed.args, f"{where}: {parsed.args}"
