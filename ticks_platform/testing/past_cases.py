"""History against gaps: what holds for the history of every connector."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Bar, Event, Rejected, Tick
from ticks_platform.feeds.history import (
    History,
    HistoryAnswer,
    HistoryError,
    Page,
    RateLimitedError,
    Span,
    TransientError,
)
from ticks_platform.feeds.history import decode as decode_history
from ticks_platform.testing.frames import check_event, damaged, identity
from ticks_platform.testing.market import BEGIN, Trade, minute_bars, trades
from ticks_platform.testing.past import PastServer, pages
from ticks_platform.timestamps import MILLISECOND, MINUTE, SECOND

MOST_RESULTS = 10_000
"""Results of a page beyond which a provider's own limit is too much for a test."""

_HOUR = 3600 * SECOND

_STATUSES = (200, 204, 400, 401, 403, 404, 408, 425, 429, 500, 502, 503)
_BODIES = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"[null]",
    b"not json",
    b"<html>Bad Gateway</html>",
    b"\xff",
    b"[" * 9999,
)


class Kit(Protocol):
    """What a case needs to know of the kit."""

    @property
    def symbols(self) -> Sequence[str]: ...

    @property
    def api_key(self) -> str | None: ...

    @property
    def results_per_page(self) -> int | None: ...

    @property
    def errors(self) -> Sequence[tuple[int, Any, type[HistoryError]]]: ...

    def connect(self, url: str | None = None) -> Connector: ...

    def names(self) -> list[str]: ...

    def tick(self, trade: Trade, connector: Connector) -> Tick: ...

    def past_server(self, made: Sequence[Trade], failures: Sequence[tuple[int, Any]] = ()) -> PastServer: ...


def history_of(kit: Kit, url: str | None = None) -> History:
    """The history of a connector that the kit was given a past of."""
    history = kit.connect(url).history()
    assert history is not None, (
        "the kit was given `past`, but Connector.history returned None: leave `past` out, or return a History"
    )
    return history


def fetched(kit: Kit, server: PastServer, symbol: str, begin: int, end: int, *, most: int | None = None) -> list[Event]:
    """What the history has of a span, after checks that it can be stored. `most` are the results of a page."""
    history = history_of(kit, server.url)
    span = Span(kit.connect().symbol_of(symbol), symbol, begin, end)
    found: list[Event] = []
    asked = history.request(span, history.first(span)).url
    # Before any request: a test must not reach the provider.
    assert asked.startswith(server.url.replace("ws://", "http://")), (
        f"the history asks {asked.partition('?')[0]}, although the connector's address is {server.url}: build the URL "
        "of requests from ticks_platform.connectors.base_url(self.url, …)"
    )
    try:
        for page in pages(history, span):
            assert most is None or page.results <= most, (
                f"a page has {page.results} results, although a page has {most} at most: let `past` answer no more "
                "than the request's limit, or tell the kit its `results_per_page`"
            )
            found += [event for frame in page.frames for event in decode_history(history, frame)]
    except HistoryError as error:
        target = server.asked[-1] if server.asked else asked
        if server.error is not None:
            raise AssertionError(f"`past` raised {server.error!r} for {target}") from server.error
        raise AssertionError(f"the history took the answer to {target} for {type(error).__name__}: {error}") from error
    for event in found:
        check_event(event, b"(of the history)")
        assert not isinstance(event, Rejected), f"a result of the server was rejected: {event}"
    for target in server.asked:
        assert not kit.api_key or kit.api_key not in target, (
            "the URL of a request to the history has the API key: URLs are logged, so the key belongs into a header"
        )
    return found


def stretched(made: Sequence[Trade]) -> list[Trade]:
    """The trades, one a minute: for histories of bars."""
    return [trade._replace(time=BEGIN // MINUTE * MINUTE + place * MINUTE) for place, trade in enumerate(made)]


def each_once(kit: Kit) -> None:
    """Each trade of a span comes once, as the WebSocket has it; or each minute's bar."""
    failures = [(429, b"{}"), (500, b"{}"), (503, b"<html>Service Unavailable</html>")]
    is_bars = history_of(kit).kind == "bars"
    made = trades(kit.names(), 60, begin=BEGIN)
    made = stretched(made) if is_bars else made
    step = MINUTE if is_bars else MILLISECOND
    with kit.past_server(made, failures) as server:
        for symbol, name in zip(kit.symbols, kit.names(), strict=True):
            own = [trade for trade in made if trade.symbol == name]
            for first, last in ((0, len(own) - 1), (len(own) // 3, len(own) // 2), (5, 5)):
                begin, end = own[first].time, own[last].time + step
                found = fetched(kit, server, symbol, begin, end)
                check(kit, own, found, begin, end, told=f"history of {symbol} from {begin} to {end}")
            earlier = fetched(kit, server, symbol, BEGIN - 2 * _HOUR, BEGIN - _HOUR)
            assert earlier == [], f"the history has {earlier[0]}, before the first trade and outside of the span"


def all_pages(kit: Kit) -> None:
    """More than two pages are read to their end, and nothing of them comes twice."""
    history = history_of(kit)
    size = kit.results_per_page or history.results_per_page
    made = trades(kit.names()[:1], 2 * size + 7, begin=BEGIN)
    step = MILLISECOND
    if history.kind == "bars":
        made, step = stretched(made), MINUTE
    with kit.past_server(made) as server:
        begin, end = made[0].time, made[-1].time + step
        found = fetched(kit, server, kit.symbols[0], begin, end, most=size)
        check(kit, made, found, begin, end, told=f"history of {len(made)} results, of which a page has {size}")


def check(kit: Kit, own: Sequence[Trade], found: Sequence[Event], begin: int, end: int, *, told: str) -> None:
    """Check that these events are what the history should have of the span, of a symbol with these trades."""
    meant = [trade for trade in own if begin <= trade.time < end]
    if history_of(kit).kind == "bars":
        _check_bars(meant, found, told=told)
        return
    connector = kit.connect()
    expected = [kit.tick(trade, connector) for trade in meant]
    ticks = [event for event in found if isinstance(event, Tick)]
    twice = [each for each, times in Counter(map(identity, ticks)).items() if times > 1]
    numbered = all(tick.trade_id is not None for tick in ticks)
    assert not (twice and numbered), f"{told}: {len(twice)} trades come twice, such as {twice[0]}: do pages overlap?"
    assert len(ticks) == len(expected), (
        f"{told}: {len(ticks)} trades of {len(expected)}"
        + (": it ends before the span does, or leaves some out" if len(ticks) < len(expected) else "")
        + (f"; the last one is {ticks[-1]}" if ticks else "")
    )
    assert sorted(ticks, key=_order) == sorted(expected, key=_order), (
        f"{told}: not the ticks that the WebSocket has: {_different(ticks, expected)}"
    )


def _check_bars(meant: Sequence[Trade], found: Sequence[Event], *, told: str) -> None:
    expected = {bar.time: bar for bar in minute_bars(meant)}
    bars = [event for event in found if isinstance(event, Bar)]
    starts = [bar.start_time for bar in bars]
    assert len(set(starts)) == len(starts), f"{told}: a minute comes twice: do pages overlap?"
    missing = sorted(set(expected) - set(starts))
    assert not missing, (
        f"{told}: bars of {len(missing)} of {len(expected)} minutes are missing, the first at {missing[0]}"
    )
    for bar in bars:
        assert bar.start_time in expected, f"{told}: {bar} is of a minute without a trade, or outside of the span"
        assert bar.end_time == bar.start_time + MINUTE, f"{told}: {bar} is not of a minute"
        prices = (bar.open, bar.high, bar.low, bar.close)
        right = expected[bar.start_time]
        assert prices == (right.open, right.high, right.low, right.close), f"{told}: {right} became {bar}"
        assert bar.volume in (None, right.volume), f"{told}: a volume of {right.volume} became {bar.volume}"


def _different(ticks: Sequence[Tick], expected: Sequence[Tick]) -> str:
    found, right = sorted(ticks, key=_order), sorted(expected, key=_order)
    first = next(pair for pair in zip(found, right, strict=True) if pair[0] != pair[1])
    return f"{first[0]} instead of {first[1]}"


def any_answer(kit: Kit) -> None:
    """Whatever the API answers is a page or a HistoryError, and what may pass is tried again."""
    history = history_of(kit)
    span = Span(kit.names()[0], kit.symbols[0], BEGIN, BEGIN + 60 * SECOND)
    for status in _STATUSES:
        for body in _BODIES:
            told = f"an answer {status} with {body[:40]!r}"
            found = _outcome(history, span, HistoryAnswer(status, {}, body), told)
            assert status == 200 or isinstance(found, HistoryError), (
                f"{told} became a page: check `answer.status` first, or such a gap counts as repaired"
            )
            assert status != 429 or isinstance(found, RateLimitedError), f"{told} is not RateLimitedError: {found!r}"
            passes = isinstance(found, TransientError | RateLimitedError)
            assert status < 500 or passes, f"{told} is not tried again: {found!r}; raise TransientError"
            if isinstance(found, Page):
                read = [event for frame in found.frames for event in decode_history(history, frame)]
                assert not [event for event in read if isinstance(event, Tick)], f"{told} has trades: {read}"


def damaged_answers(kit: Kit) -> None:
    """Answers that are almost right: what can be read of them is kept, and the rest raises nothing else."""
    name, symbol = kit.names()[0], kit.symbols[0]
    is_bars = history_of(kit).kind == "bars"
    made = trades([name], 3, begin=BEGIN)
    made = stretched(made) if is_bars else made
    with kit.past_server(made) as server:
        history = history_of(kit, server.url)
        span = Span(name, symbol, made[0].time, made[-1].time + (MINUTE if is_bars else MILLISECOND))
        list(pages(history, span))
        answers = [(cursor, server.answered(target)) for cursor, target in _cursors(history, span, server)]
    for cursor, (status, good) in answers:
        for bad in damaged(good):
            told = f"an answer {status} with {bad[:300]!r}"
            found = _outcome(history, span, HistoryAnswer(status, {}, bad), told, cursor)
            for frame in found.frames if isinstance(found, Page) else ():
                for event in decode_history(history, frame):
                    check_event(event, bad)


def _cursors(history: History, span: Span, server: PastServer) -> list[tuple[str, str]]:
    """The cursors of a span's pages, and the targets that were asked for them."""
    cursor: str | None = history.first(span)
    found = []
    for target in list(server.asked):
        if cursor is None:
            break
        found.append((cursor, target))
        status, body = server.answered(target)
        cursor = history.page(span, cursor, HistoryAnswer(status, {}, body)).cursor
    return found


def told_errors(kit: Kit) -> None:
    """What the provider says instead of results is the error that it means."""
    history = history_of(kit)
    span = Span(kit.names()[0], kit.symbols[0], BEGIN, BEGIN + 60 * SECOND)
    for status, content, expected in kit.errors:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        told = f"an answer {status} with {body[:200]!r}"
        found = _outcome(history, span, HistoryAnswer(status, {}, body), told)
        assert isinstance(found, expected), f"{told} is {found!r}, and not {expected.__name__}" + (
            ": a gap without results counts as repaired" if isinstance(found, Page) else ""
        )


def _order(tick: Tick) -> str:
    return repr((tick.time, tick.trade_id, tick.price, tick.size))


def _outcome(
    history: History, span: Span, answer: HistoryAnswer, told: str, cursor: str | None = None
) -> Page | HistoryError:
    """What an answer to the first request, or that of a cursor, means, as it is `told`."""
    try:
        page = history.page(span, cursor or history.first(span), answer)
    except HistoryError as error:
        return error
    except Exception as error:
        raise AssertionError(
            f"{told} raised {error!r}, which is no HistoryError: TransientError is right where a retry may help"
        ) from error
    assert isinstance(page, Page), f"{told} became {page!r}, which is no Page"
    return page
