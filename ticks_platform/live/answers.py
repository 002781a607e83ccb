"""Answers of the database that serve everybody who asks the same within some seconds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

KEPT = 64
"""Answers in memory."""

SECONDS = 5.0
"""For how long an answer serves everybody who asks the same."""


class SharedAnswers:
    """What was asked lately, and the answers, which may be on their way."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, tuple[float, asyncio.Future[Any]]] = OrderedDict()

    async def once(self, what: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question, asked once for all who ask it within some seconds. Raises what `ask` raises."""
        now = time.monotonic()
        while self._answers and next(iter(self._answers.values()))[0] < now - SECONDS:
            self._answers.popitem(last=False)
        if what not in self._answers:
            self._answers[what] = now, asyncio.ensure_future(ask())
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)
        found = self._answers[what][1]
        try:
            result: T = await asyncio.shield(found)
        except Exception:
            # An error is not kept: the next one who asks tries again.
            if self._answers.get(what, (0, None))[1] is found:
                del self._answers[what]
            raise
        return result
