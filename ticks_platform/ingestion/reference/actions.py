"""Follows what the providers say of splits and dividends: new ones, changed ones, and those that are gone."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.corporate_actions import KINDS, Action, ActionKind, CorporateActions
from ticks_platform.feeds.history import (
    HistoryError,
    KeyRefusedError,
    NotEntitledError,
    RateLimitedError,
    TransientError,
)
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.history_client import HistoryClient
from ticks_platform.ingestion.repair import budget as repair_budget
from ticks_platform.timescale import sql_files, tables
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

EVERY = "20 hours"
"""Time between two requests for the same symbol."""

ATTEMPTS = 3
_MARGIN_DAYS = 30
"""Days by which a plan's past may be shorter than it says."""


class Report(NamedTuple):
    """What a run did for one feed."""

    requests: int = 0
    symbols: int = 0
    """Symbols whose splits and dividends the provider told."""
    left: int = 0
    """Symbols that the next run asks for."""
    added: int = 0
    """New versions, those of changed actions included."""
    changed: int = 0
    gone: int = 0
    problems: tuple[str, ...] = ()
    """Why symbols were not told, and results that are no actions."""


class Counts(NamedTuple):
    """What the table holds."""

    versions: int
    splits: int
    """In force, as are the dividends."""
    dividends: int


class _OutOfTimeError(Exception):
    """The run's time is over; the next run continues."""


class Change(NamedTuple):
    """What an answer changed in the table."""

    added: int
    changed: int
    gone: int


class Follower:
    """Asks the provider of one feed, within its budget."""

    def __init__(
        self,
        *,
        feed: FeedSettings,
        api: CorporateActions,
        database: Database,
        owner: str,
        minute: float = repair_budget.MINUTE,
        backoff: float = 2.0,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`minute` is the length of the provider's minute, and `backoff` the first delay after an error, in seconds."""
        self._feed = feed
        self._api = api
        self._database = database
        self._owner = owner
        self._budget = repair_budget.of(feed, api, minute=minute)
        # The stand-in has no plans.
        self._credits = 1 if feed.synthetic else api.credits
        self._backoff = backoff
        self._wait = wait
        self._requests = 0
        self._ends_at = 0.0

    def run(self, *, seconds: float) -> Report:
        """Ask for the symbols that are due, for so long at most. A provider's refusal is in the report, and ends it."""
        asked = {name: symbol for name, symbol in self._feed.asked_symbols().items() if self._api.serves(symbol)}
        report = Report()
        if not self._budget.allows(self._credits):
            limits = [limit for limit in (self._budget.per_minute, self._budget.per_day) if limit is not None]
            problem = (
                f"a request uses {self._credits} credits and the limit is {min(limits)}: plans with splits and "
                "dividends have more; set repair.requests_per_minute in feeds.yaml to that of yours"
            )
            return report._replace(left=len(asked), problems=(problem,))
        self._ends_at = time.monotonic() + seconds
        with self._database.transaction() as cursor:
            parameters = {"feed": self._feed.name, "symbols": list(asked), "every": EVERY}
            cursor.execute(sql_files.read("queries/corporate_actions/due_symbols.sql"), parameters)
            due = [symbol for (symbol,) in cursor.fetchall()]
        client = HistoryClient()
        try:
            while due and time.monotonic() < self._ends_at:
                names, due = due[: self._api.symbols_per_request], due[self._api.symbols_per_request :]
                try:
                    report, goes_on = self._follow(client, {name: asked[name] for name in names}, report)
                except _OutOfTimeError:
                    due = [*names, *due]
                    break
                if not goes_on:
                    break
        finally:
            client.close()
        return report._replace(requests=self._requests, left=len(due))

    def _follow(self, client: HistoryClient, asked: Mapping[str, str], report: Report) -> tuple[Report, bool]:
        """Ask for these symbols and store the answer. Whether there is any use in asking for others."""
        found: dict[ActionKind, list[Action]] = {}
        unusable: list[str] = []
        problem, goes_on = None, True
        try:
            for kind in KINDS:
                found[kind] = self._fetch(client, kind, list(asked.values()), unusable)
        except (KeyRefusedError, NotEntitledError, TransientError) as error:
            problem, goes_on = str(error), False
        except HistoryError as error:
            problem = str(error)
        with self._database.transaction() as cursor:
            if problem is None:
                names = {symbol: name for name, symbol in asked.items()}
                for kind, actions in found.items():
                    since = _since(self._api, actions)
                    change = keep(cursor, self._feed.provider, kind, names, actions, since=since)
                    report = report._replace(
                        added=report.added + change.added,
                        changed=report.changed + change.changed,
                        gone=report.gone + change.gone,
                    )
            parameters = {"feed": self._feed.name, "symbols": list(asked), "problem": problem}
            cursor.execute(sql_files.read("queries/corporate_actions/record_check.sql"), parameters)
        problems = (*report.problems, *unusable, *([problem] if problem else []))
        return report._replace(problems=problems, symbols=report.symbols + (0 if problem else len(asked))), goes_on

    def _fetch(
        self, client: HistoryClient, kind: ActionKind, symbols: Sequence[str], unusable: list[str]
    ) -> list[Action]:
        """All pages. Raises a HistoryError and _OutOfTimeError."""
        actions: list[Action] = []
        cursor: str | None = self._api.first(kind, symbols)
        backoff = Backoff(base=self._backoff, cap=60.0)
        failures = 0
        while cursor is not None:
            request_id = self._reserve()
            try:
                page = self._api.page(kind, symbols, cursor, client.get(self._api.request(cursor)))
            except RateLimitedError as error:
                pause = error.seconds * self._budget.minute / repair_budget.MINUTE
                self._record(request_id, str(error), pause=pause)
                continue
            except TransientError as error:
                self._record(request_id, str(error))
                failures += 1
                if failures == ATTEMPTS:
                    raise
                self._wait_for(backoff.next_delay())
                continue
            except HistoryError as error:
                self._record(request_id, str(error))
                raise
            self._record(request_id, f"{len(page.actions)} {kind}s")
            failures = 0
            actions += page.actions
            unusable += page.unusable
            cursor = page.cursor
        return actions

    def _reserve(self) -> int:
        while True:
            with self._database.transaction() as cursor:
                request_id = self._budget.reserve(cursor, owner=self._owner, credits=self._credits)
                wait = self._budget.wait(cursor, self._credits) if request_id is None else 0.0
            if request_id is not None:
                self._requests += 1
                return request_id
            self._wait_for(wait)

    def _record(self, request_id: int, outcome: str, *, pause: float | None = None) -> None:
        with self._database.transaction() as cursor:
            self._budget.record_outcome(cursor, request_id, outcome, pause=pause)

    def _wait_for(self, seconds: float) -> None:
        if time.monotonic() + seconds > self._ends_at:
            raise _OutOfTimeError
        self._wait(seconds)


def _since(api: CorporateActions, actions: Sequence[Action]) -> date:
    """From when on an action that is missing in the answer is gone, rather than out of the plan's reach."""
    oldest = min((action.execution_date for action in actions), default=date.max)
    if api.reach_days == float("inf"):
        return date.min
    return min(oldest, datetime.now(timezone.utc).date() - timedelta(days=api.reach_days - _MARGIN_DAYS))


def keep(
    cursor: Cursor,
    source: str,
    kind: ActionKind,
    names: Mapping[str, str],
    actions: Sequence[Action],
    *,
    since: date = date.min,
) -> Change:
    """Store all that a provider says of symbols, whose names are given by its spelling.

    Actions in force that are missing from `since` on end. A changed action ends, and a new version begins.
    """
    parameters: dict[str, Any] = {
        "symbols": list(names.values()),
        "kind": kind,
        "source": source,
        "since": since,
        "actions": json.dumps([_row(action, names[action.symbol]) for action in actions]),
    }
    cursor.execute(sql_files.read("queries/corporate_actions/supersede.sql"), parameters)
    ended = cursor.fetchall()
    for symbol, on, by, replaced in ended:
        logger.info("%s of %s on %s by %s: %s", kind, symbol, on, by, "changed" if replaced else "no longer said")
    cursor.execute(sql_files.read("queries/corporate_actions/update_factors.sql"), parameters)
    cursor.execute(sql_files.read("queries/corporate_actions/add.sql"), parameters)
    added = len(cursor.fetchall())
    changed = sum(replaced for *_, replaced in ended)
    return Change(added, changed, len(ended) - changed)


def _row(action: Action, name: str) -> dict[str, Any]:
    return {**action._asdict(), "symbol": name, "execution_date": action.execution_date.isoformat()}


def compute_price_factors(cursor: Cursor, symbols: Sequence[str]) -> int:
    """Compute the factors of dividends that came without one, from the closes before; how many."""
    if tables.missing(cursor, ("session_day_candle",)):
        return 0
    cursor.execute(sql_files.read("queries/corporate_actions/compute_price_factors.sql"), {"symbols": list(symbols)})
    return cursor.rowcount


def counts(cursor: Cursor) -> Counts:
    """Count the table."""
    cursor.execute(sql_files.read("queries/corporate_actions/counts.sql"))
    return Counts(*(cursor.fetchone() or (0, 0, 0)))


def newest(cursor: Cursor, number: int) -> list[dict[str, Any]]:
    """The actions that were learned of last, by column."""
    cursor.execute(sql_files.read("queries/corporate_actions/newest.sql"), {"number": number})
    columns = [column.name for column in cursor.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
