"""The page as a person sees it, in a headless Chromium, while a feed streams and things are killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ticks_platform_tests.live.ingesting import Ingesting, ingesting
from ticks_platform_tests.support.browser import Tab, browser

pytestmark = pytest.mark.full

SEEN_WITHIN = 5.0
"""Seconds in which the page has to show what was killed."""

IS_LIVE = "document.body.dataset.state === 'live' && document.querySelector('#legend').innerText.includes('Ticks')"

NOTE_SHIFTS = """list => { for (const entry of list.getEntries()) window.shifts.push({
    value: entry.value,
    moved: entry.sources.map(each => `${each.node?.nodeName} ${each.node?.id} ${each.node?.className} ` +
        `${JSON.stringify(each.previousRect)} to ${JSON.stringify(each.currentRect)}`) }) }"""
"""Keeps what has moved on the page, and how far."""


@pytest.fixture(scope="module")
def running() -> Iterator[Ingesting]:
    """A feed that streams, and the page."""
    with ingesting() as found:
        yield found


@pytest.fixture
def tab(running: Ingesting, tmp_path: Path) -> Iterator[Tab]:
    """The page in a browser, once it is live. Nothing may be wrong in its console at the end."""
    with browser(tmp_path) as found:
        found.show()
        found.open(running.url)
        found.until(IS_LIVE, 60)
        yield found


def test_candles_move_and_the_account_is_shown(tab: Tab) -> None:
    price = tab.text("#price")
    tab.until(f"document.querySelector('#price').innerText !== '{price}'", 15)
    assert "streaming" in tab.text("#feeds")
    assert "every event is accounted for" in tab.text("#feeds")
    assert "SYNTHETIC" in tab.text("#feeds").upper()
    assert "TradingView" in tab.text(".attribution")
    tab.until("document.querySelectorAll('#symbols li').length === 4")
    assert tab.problems == []


def test_keys_choose_symbol_width_and_candle(tab: Tab) -> None:
    first = tab.text("#symbol")
    tab.press("ArrowDown")
    tab.until(f"document.querySelector('#symbol').innerText !== '{first}' && {IS_LIVE}")
    tab.press("2")
    tab.until("new URLSearchParams(location.search).get('interval') === '1h'")
    tab.press("/")
    for letter in "tsl":
        tab.press(letter)
    tab.until("document.querySelectorAll('#symbols li').length === 1")
    tab.press("Enter")
    tab.until(f"document.querySelector('#symbol').innerText === 'TSLA' && {IS_LIVE}")
    tab.press("1")
    tab.until(
        f"location.search.includes('1m') && {IS_LIVE} && document.querySelector('#legend').innerText.includes(':')"
    )
    tab.press("ArrowLeft")
    tab.press("Enter")
    tab.until("document.querySelector('#explain code').innerText.startsWith('ticks explain TSLA')")
    assert "Where the prices come from".upper() in tab.text("#explain").upper()
    tab.press("Escape")
    tab.until("document.querySelector('#explain').hidden")
    assert tab.problems == []


def test_a_click_explains_a_candle(tab: Tab) -> None:
    x, y = tab.js(
        "(() => { const at = document.querySelector('#chart').getBoundingClientRect();"
        " return [at.left + (at.width - 60) * 0.86, at.top + at.height / 2] })()"
    )
    tab.click(x, y)
    tab.until("!document.querySelector('#explain').hidden")
    tab.until("document.querySelector('#explain .body').innerText.includes('andle')")


@pytest.mark.parametrize(("width", "height", "phone"), [(390, 844, True), (1000, 700, False), (1600, 900, False)])
def test_it_fits_each_window_without_moving(tab: Tab, width: int, height: int, phone: bool) -> None:
    for dark in (False, True):
        tab.show(width=width, height=height, dark=dark, phone=phone)
        tab.until(
            f"innerWidth === {width} && matchMedia('(prefers-color-scheme: dark)').matches === {str(dark).lower()}"
        )
        assert tab.js("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
        background = tab.js("getComputedStyle(document.querySelector('.stage')).backgroundColor")
        assert (background == "rgb(255, 255, 255)") is not dark
    # What the change of size itself moves is drawn with the next frames.
    tab.js("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(drawn))))")
    tab.js(f"window.shifts = []; new PerformanceObserver({NOTE_SHIFTS}).observe({{type: 'layout-shift'}}); 0")
    state = tab.text("[data-key=events]")
    tab.until(f"document.querySelector('[data-key=events]').innerText !== '{state}'", 60)
    shifts = tab.js("window.shifts")
    assert sum(shift["value"] for shift in shifts) < 0.01, shifts


def test_what_comes_from_outside_is_text(running: Ingesting, tab: Tab) -> None:
    tab.open(f"{running.url}/?symbol=%3Cimg%20src%3Dx%20onerror%3D%22window.hurt%3D1%22%3E&interval=1m")
    tab.until("document.querySelector('#notice').innerText.includes('<img src=x')")
    assert not tab.js("'hurt' in window")
    assert tab.js("document.querySelectorAll('#notice img').length") == 0


def test_a_killed_database_is_seen_and_recovers(running: Ingesting, tab: Tab) -> None:
    # The embedded database is back with the next question, which may be sooner than we look.
    tab.js(
        "window.tones = []; "
        "setInterval(() => window.tones.push(document.querySelector('#connection').dataset.tone), 20); 0"
    )
    running.kill("database")
    seen = tab.until("window.tones.some(tone => tone !== 'good')", SEEN_WITHIN)
    assert seen < SEEN_WITHIN
    tab.until(f"document.querySelector('#connection').dataset.tone === 'good' && {IS_LIVE}", 60)


def test_a_killed_feed_is_seen_and_recovers(running: Ingesting, tab: Tab) -> None:
    tab.until("document.querySelector('.feed .words').innerText === 'streaming'", 60)
    running.kill("feed")
    tab.until("document.querySelector('#connection').innerText.includes('stand_in')", SEEN_WITHIN)
    assert tab.js("document.querySelector('.feed').dataset.tone") in ("warn", "bad")
    running.start_feed()
    tab.until("document.querySelector('#connection').innerText === 'live'", 60)


def test_a_killed_page_is_seen_and_connects_again(running: Ingesting, tab: Tab) -> None:
    running.kill("page")
    tab.until("document.querySelector('#notice').innerText.includes('server is away')", SEEN_WITHIN)
    assert "ticks dev" in tab.text("#notice")
    address = running.url
    running.start_page(int(address.rpartition(":")[2]))
    assert running.url == address
    tab.until(f"document.querySelector('#connection').dataset.tone === 'good' && {IS_LIVE}", 60)
    assert tab.js("document.querySelector('#notice').hidden")
