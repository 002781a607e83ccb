"""Twelve Data's splits and dividends: ``/splits`` and ``/dividends``, of one symbol each.

Source of the facts: the official docs (parameters, samples of AAPL). ``from_factor`` counts the new shares and
``to_factor`` the old ones; ``ratio`` is what prices are multiplied by. The ranges ``full`` and ``last`` are served, and
dates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from ticks_standin.market.actions import Actions
from ticks_standin.market.instruments import Instrument
from ticks_standin.provider.rest import Answer, Question

SPLITS, DIVIDENDS = "/splits", "/dividends"

_encode = msgspec.json.Encoder().encode


def answer(actions: Actions, instrument: Instrument, meta: Mapping[str, str], question: Question) -> Answer:
    """All that the question asks of one listing, the newest first."""
    if question.path == SPLITS:
        results = [
            {
                "date": split.on.isoformat(),
                "description": f"{split.new:g}-for-{split.old:g} split",
                "ratio": round(split.old / split.new, 5),
                "from_factor": split.new,
                "to_factor": split.old,
            }
            for split in actions.splits()
            if split.symbol == instrument.symbol
        ]
    else:
        adjusts = question.query.get("adjust", "true").lower() == "true"
        results = [
            {
                "ex_date": dividend.on.isoformat(),
                "amount": dividend.cash
                * (
                    math.prod(
                        split.old / split.new
                        for split in actions.splits()
                        if split.symbol == dividend.symbol and split.on > dividend.on
                    )
                    if adjusts
                    else 1
                ),
            }
            for dividend in actions.dividends()
            if dividend.symbol == instrument.symbol
        ]
    asked = _asked(results[::-1], question.query)
    body = {"meta": dict(meta), question.path[1:]: asked}
    return Answer(body=_encode(body), subject=f"{question.path} {instrument.symbol}", results=len(asked))


def _asked(results: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    if query.get("range") == "full":
        return results
    begin, end = query.get("start_date"), query.get("end_date")
    if begin is None and end is None:
        return results[:1]
    return [each for each in results if (begin or "") <= next(iter(each.values())) <= (end or "9999")]
