"""Asks the providers what they know of instruments, within their limits, which repairs of gaps share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.feeds.history import (
    HistoryError,
    KeyRefusedError,
    NotEntitledError,
    RateLimitedError,
    TransientError,
)
from ticks_platform.feeds.reference import Facts, Reference
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.history_client import HistoryClient
from ticks_platform.ingestion.repair import budget as repair_budget
from ticks_platform.masking import mask
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database, storable

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

AGAIN = timedelta(days=7)
"""Time from an answer, or from a refusal, to the next request for a symbol."""
AFTER_REFUSAL = timedelta(days=1)
"""Time until a provider is asked again that refuses the key, or whose plan has no reference data."""
AFTER_FAILURE = timedelta(hours=1)

SHARE_OF_A_DAY = 4
"""A run uses at most this fraction, one in so many, of a day's requests: repairs of gaps need the others."""


class Report(NamedTuple):
    """What a run did for one feed."""

    requests: int
    answered: int
    left: int
    """Symbols that the next run asks for."""
    problems: tuple[str, ...]


class _Asked(NamedTuple):
    symbol: str
    """As the ticks have it."""
    spelling: str
    """As feeds.yaml has it."""


class _EnoughError(Exception):
    """The run's time or its requests are used up; the next run continues."""


class Asking:
    """Asks the provider of one feed."""

    def __init__(
        self,
        *,
        feed: FeedSettings,
        reference: Reference,
        database: Database,
        owner: str,
        minute: float = repair_budget.MINUTE,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`minute` is the length of the provider's minute in seconds."""
        self._feed = feed
        self._reference = reference
        self._database = database
        self._owner = owner
        self._budget = repair_budget.of(feed, reference, minute=minute)
        self._wait = wait
        self._requests = 0
        self._ends_at = 0.0

    def run(self, *, seconds: float) -> Report:
        """Ask for the symbols that are due, for so long at most. What a provider refuses is in the report."""
        self._ends_at = time.monotonic() + seconds
        with self._database.transaction() as cursor:
            waiting = due(cursor, self._feed)
        answered, problems = 0, []
        client = HistoryClient()
        try:
            while waiting:
                asked = waiting[0]
                try:
                    facts = self._ask(client, asked)
                except _EnoughError:
                    break
                except (KeyRefusedError, NotEntitledError, TransientError) as error:
                    # The other symbols would fare no better.
                    pause = AFTER_FAILURE if isinstance(error, TransientError) else AFTER_REFUSAL
                    problems.append(str(error))
                    self._postpone(waiting, str(error), pause)
                    break
                except HistoryError as error:
                    problems.append(str(error))
                    self._postpone([asked], str(error), AGAIN)
                else:
                    problem = None if facts else f"{asked.spelling}: the provider has no reference data of it"
                    problems += [problem] if problem else []
                    answered += facts is not None
                    self._record(asked, facts, problem)
                waiting = waiting[1:]
        finally:
            client.close()
        return Report(self._requests, answered, len(waiting), tuple(problems))

    def _ask(self, client: HistoryClient, asked: _Asked) -> Facts | None:
        """What is known of a symbol; None if nothing is. Raises a HistoryError and _EnoughError."""
        for place in self._reference.places(asked.spelling):
            while True:
                request_id = self._reserve()
                try:
                    answer = client.get(self._reference.request(place))
                    facts = self._reference.facts(asked.spelling, place, answer)
                except RateLimitedError as error:
                    pause = error.seconds * self._budget.minute / repair_budget.MINUTE
                    self._note(request_id, str(error), pause=pause)
                    continue
                except HistoryError as error:
                    self._note(request_id, str(error))
                    raise
                self._note(request_id, f"{'facts' if facts else 'no facts'} of {asked.symbol}")
                break
            if facts is not None:
                return facts
        return None

    def _reserve(self) -> int:
        day = self._budget.per_day
        if day is not None and self._requests >= max(day // SHARE_OF_A_DAY, 1):
            raise _EnoughError
        while True:
            with self._database.transaction() as cursor:
                request_id = self._budget.reserve(cursor, owner=self._owner)
                wait = self._budget.wait(cursor) if request_id is None else 0.0
            if request_id is not None:
                self._requests += 1
                return request_id
            if time.monotonic() + wait > self._ends_at:
                raise _EnoughError
            self._wait(wait)

    def _note(self, request_id: int, outcome: str, *, pause: float | None = None) -> None:
        with self._database.transaction() as cursor:
            self._budget.record_outcome(cursor, request_id, storable(mask(outcome)), pause=pause)

    def _record(self, asked: _Asked, facts: Facts | None, problem: str | None) -> None:
        known = facts or Facts()
        parameters = {
            "feed": self._feed.name,
            "symbol": asked.symbol,
            "asked": asked.spelling,
            "asset_class": known.asset_class,
            "mic": known.mic,
            "currency": known.currency,
            "round_lot": known.round_lot,
            "may_be_negative": known.may_be_negative,
            "answered": facts is not None,
            "problem": problem,
            "pause": AGAIN,
        }
        with self._database.transaction() as cursor:
            cursor.execute(sql_files.read("queries/instruments/record_answer.sql"), parameters)

    def _postpone(self, symbols: Sequence[_Asked], problem: str, pause: timedelta) -> None:
        parameters = {
            "feed": self._feed.name,
            "symbols": [each.symbol for each in symbols],
            "asked": [each.spelling for each in symbols],
            "problem": storable(mask(problem)),
            "pause": pause,
        }
        with self._database.transaction() as cursor:
            cursor.execute(sql_files.read("queries/instruments/postpone_symbols.sql"), parameters)


def due(cursor: Cursor, feed: FeedSettings) -> list[_Asked]:
    """The symbols of which a feed's provider is to be asked now; not those that stand for many."""
    connector = feed.keyless_connector()
    asked = {name: symbol for name, symbol in feed.asked_symbols().items() if connector.many_names(symbol) is None}
    parameters = {"feed": feed.name, "symbols": list(asked), "asked": list(asked.values())}
    cursor.execute(sql_files.read("queries/instruments/due_symbols.sql"), parameters)
    return [_Asked(*row) for row in cursor.fetchall()]
