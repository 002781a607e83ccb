"""The interface of a provider's API for splits and dividends, without I/O: requests, and what the responses mean.

A connector returns its `CorporateActions` from `Connector.corporate_actions`, if the provider has one. Ticks are never
adjusted; candles are, by views.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from datetime import date
from typing import Literal, NamedTuple

from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest

ActionKind = Literal["split", "dividend"]

KINDS: tuple[ActionKind, ...] = ("split", "dividend")


class Action(NamedTuple):
    """A split or dividend, as a row of corporate_action."""

    symbol: str
    """The provider's spelling, as it was asked for."""
    kind: ActionKind
    execution_date: date
    split_from: float | None
    split_to: float | None
    cash_amount: float | None
    currency: str | None
    historical_adjustment_factor: float | None
    provider_id: str


class ActionPage(NamedTuple):
    """The content of one response."""

    actions: list[Action]
    unusable: list[str]
    """What is wrong with each result that is no action."""
    cursor: str | None
    """Where the next page begins; None after the last page."""


class CorporateActions(abc.ABC):
    """One provider's API for splits and dividends.

    Limits are those of the provider's smallest plan, and shared with its history.
    """

    requests_per_minute: int | None = None
    requests_per_day: int | None = None

    credits: int = 1
    """What one request uses of these limits."""

    symbols_per_request: int = 1

    has_factors: bool = False
    """Whether dividends come with the provider's adjustment factor."""

    reach_days: float = math.inf
    """Days back from now for which every plan has actions. An older one that is missing may be outside the plan."""

    @abc.abstractmethod
    def serves(self, symbol: str) -> bool:
        """Whether a symbol, in the provider's spelling, can have splits and dividends."""

    @abc.abstractmethod
    def first(self, kind: ActionKind, symbols: Sequence[str]) -> str:
        """The cursor of the first page: all actions of a kind, of up to `symbols_per_request` symbols."""

    @abc.abstractmethod
    def request(self, cursor: str) -> HistoryRequest:
        """The request for the page at this cursor."""

    @abc.abstractmethod
    def page(self, kind: ActionKind, symbols: Sequence[str], cursor: str, answer: HistoryAnswer) -> ActionPage:
        """The page in the response to the request for this cursor. Raises a HistoryError."""


def positive(value: float | None) -> float | None:
    """A number that a price can be multiplied by; None of any other."""
    return value if value is not None and 0 < value < math.inf else None


def day(text: str | None) -> date | None:
    """A date as YYYY-MM-DD, also with a time behind it; None of anything else."""
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None
