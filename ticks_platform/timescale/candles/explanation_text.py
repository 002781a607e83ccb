"""The answer of `explain_candle` as plain text, for people. Nothing is asked of the database here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

Part = Mapping[str, Any]

_SPANS = {"one_minute_candle": "minute", "one_hour_candle": "hour", "one_day_candle": "UTC day"}

_WHY_NONE = {
    "halted": "There is no candle: trading of {symbol} was halted, and there was no trade in the {span}.",
    "no_trade": "There is no candle: a feed received {symbol} for the whole {span}, and there was no trade.",
    "market_closed": "There is no candle: the market was closed, and no provider of {symbol} sends then.",
    "feed_gap": "There is no candle: {symbol} was not received for a part of the {span}; see the gaps below.",
    "not_wanted": "There is no candle: no feed streamed {symbol} at that time.",
    "not_over": "There is no candle yet: the {span} has not ended.",
    "no_price": "There is no candle of the {span}, though there are ticks: it is not refreshed yet.",
    "candle": "There is no candle of the {span}, though there is one of a minute in it: it is not refreshed yet.",
}

_PRICES = ("open", "high", "low", "close")
_BITS = {"open_close": "open and close", "high_low": "high and low", "volume": "volume"}
_BIT_OF = {"open": "open_close", "close": "open_close", "high": "high_low", "low": "high_low"}

_LATE_AFTER = 60.0
"""Seconds between event and arrival from which on the arrival is told."""


def text(answer: Part) -> str:
    """The answer in lines. What a terminal does not print, such as a control character in a name, is replaced."""
    return "\n".join(
        "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)
        for line in _lines(answer)
    )


def _lines(answer: Part) -> Iterator[str]:
    span = _SPANS[answer["refresh"]["candle"]]
    yield f"{answer['symbol']}, the {span} from {_time(answer['bucket'])} (all times are UTC)"
    yield from _sessions(answer, span)
    yield ""
    yield from _candle(answer, span)
    if answer["recomputed"] is not None:
        yield from _section("Where the prices come from", _prices(answer))
        yield from _section("Left out", _left_out(answer))
        yield from _section("Ticks, by what they may change", _groups(answer))
        yield from _section("Taken back by the market", _corrections(answer))
        yield from _section("Late", _late(answer))
        yield from _section("Feeds", _feeds(answer))
    yield from _section("Reception", _reception(answer))
    yield from _section("Official prices", map(_official_price, answer["official_prices"]))
    yield from _section("The provider's minute bars", (_bar(bar, answer) for bar in answer["bars"]))
    yield from _section("Refresh", _refresh(answer, span))


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", title, *(f"  {line}" for line in found))


def _sessions(answer: Part, span: str) -> Iterator[str]:
    for session in answer["sessions"]:
        opens, closes = session["opens_at"], session["closes_at"]
        inside = opens <= answer["bucket"] and answer["until"] <= closes
        outside = answer["until"] <= opens or closes <= answer["bucket"]
        where = "inside" if inside else "outside" if outside else "partly inside"
        yield (
            f"Regular hours of session {session['session']} ({session['calendar']}): {_time(opens)} to "
            f"{_time(closes)}; the {span} is {where} of them"
        )


def _candle(answer: Part, span: str) -> Iterator[str]:
    candle, ticks = answer["candle"], answer["recomputed"]
    if candle is None:
        words = _WHY_NONE.get(answer["answer"], f"There is no candle: {answer['answer']}.")
        yield words.format(symbol=answer["symbol"], span=span)
        if ticks is not None:
            yield f"Its ticks make one that is not stored: {_values(ticks)}"
        return
    yield f"Candle: {_values(candle)}"
    yield from _derived_volume(answer, span)
    if not answer["has_ended"]:
        yield f"The {span} has not ended: it is the candle so far."
    formed = "" if candle.get("price_count") is None else f"; {candle['price_count']:,} of them formed prices"
    yield f"It is made of {_count(candle['tick_count'], 'tick')}{formed}."
    if answer["answer"] == "no_price":
        yield "It has no prices: no tick of it may set open and close, and there are four prices or none."
    without = answer.get("minutes_without_prices")
    if without and span != "minute" and candle["open"] is not None:
        minutes = _count(without, "minute")
        yield f"{minutes} of its {answer['minutes']:,} with ticks have no prices, and give none to it."
    if ticks is None:
        yield (
            "Its ticks are gone, so it cannot be compared with them: retention has dropped them, or the check "
            "ledger_balances says what is missing."
        )
    elif answer["differs_from_its_ticks"]:
        names = _words(answer["differs_from_its_ticks"])
        yield f"ITS TICKS MAKE ANOTHER ONE, which differs in {names}: {_values(ticks)}"
    else:
        yield "It is what its ticks make."


def _derived_volume(answer: Part, span: str) -> Iterator[str]:
    derived = answer.get("derived_volume")
    if not derived:
        return
    since = derived["since"]
    if derived["is_first_of_day"]:
        why = "which is the volume of the day so far, since none of that day came before"
    elif _moment(since) < _moment(answer["bucket"]):
        until = _time(answer["until"], answer)
        why = f"which is that of {_time(since, answer)} to {until}, since no volume of the day came in between"
    else:
        why = f"by which the volume of the day grew in the {span}"
    yield f"Its feed sends no trade sizes. Derived volume: {_number(derived['volume'])}, {why}."


def _values(candle: Part) -> str:
    shown = [
        name for name in (*_PRICES, "volume", "day_volume") if name != "day_volume" or candle.get(name) is not None
    ]
    return ", ".join(f"{_word(name)} {_number(candle.get(name))}" for name in shown)


def _prices(answer: Part) -> Iterator[str]:
    for name in _PRICES:
        tick = answer["prices"].get(name)
        if tick is not None:
            yield f"{name:<5}  {_tick(tick, answer)}; {_conditions(tick['conditions'])}"


def _left_out(answer: Part) -> Iterator[str]:
    # A tick may be named twice, as what would be the high and the close.
    ticks: dict[tuple[str, str], list[Part]] = {}
    for tick in answer["left_out"]:
        ticks.setdefault((tick["reason"], tick["tick_id"]), []).append(tick)
    for named in ticks.values():
        prices = [name for name in _PRICES if name in {each["would_be"] for each in named}]
        yield f"would be {_and(prices)}: {_tick(named[0], answer)}; {_why(named[0], prices, answer)}"


def _why(tick: Part, prices: Sequence[str], answer: Part) -> str:
    if tick["reason"] == "cancelled":
        return "the market took it back"
    if tick["reason"] == "secondary":
        return f"its feed {tick['feed']} is secondary, and makes no candles"
    bits = {_BIT_OF[name] for name in prices}
    forbidding = [each for each in tick["conditions"] if bits & set(each["forbids"])]
    always = [each for each in forbidding if not each["in_regular_hours_only"]]
    if always or (forbidding and not _outside(tick, answer)):
        forbidding = always or forbidding
        forbidden = {bit for each in forbidding for bit in each["forbids"]}
        what = (
            "forms no price"
            if forbidden >= set(_BIT_OF.values())
            else "may not set " + _and([name for name in _PRICES if _BIT_OF[name] in forbidden])
        )
        alone = "" if forbidden >= bits else ", and no tick of its minute may: there are four prices or none"
        return f"{_conditions(forbidding)} {what}{alone}"
    if any("open_close" in each["forbids"] for each in tick["conditions"]):
        names = _conditions(tick["conditions"])
        return f"{names} may not set open and close, and no tick of its minute may: there are four prices or none"
    return f"its value of `updates` does not allow it; {_conditions(tick['conditions'])}"


def _outside(tick: Part, answer: Part) -> bool:
    """Whether regular hours are known, and the tick is in none of them."""
    hours = [(_moment(each["opens_at"]), _moment(each["closes_at"])) for each in answer["sessions"]]
    return bool(hours) and not any(opens <= _moment(tick["time"]) < closes for opens, closes in hours)


def _groups(answer: Part) -> Iterator[str]:
    for group in answer["groups"]:
        yield f"{_may_change(group)}: {_amount(group)}"
        for entry in answer["conditions"]:
            if (entry["may_change"], entry["reason"]) == (group["may_change"], group["reason"]):
                yield f"  {_conditions(entry['conditions'])}: {_amount(entry)}"
    others = answer["condition_sets"] - len(answer["conditions"])
    if others > 0:
        yield f"and {_count(others, 'rarer combination')} of conditions"


def _may_change(group: Part) -> str:
    if group["reason"] == "cancelled":
        return "nothing, since the market took them back"
    if group["reason"] == "secondary":
        return "nothing, since their feed is secondary"
    names = [_BITS[name] for name in group["may_change"]]
    return ", ".join(names) + (" only" if len(names) == 1 else "") if names else "nothing"


def _amount(group: Part) -> str:
    volume = "" if group["volume"] is None else f", volume {_number(group['volume'])}"
    if group["low"] is None:
        prices = ""
    elif group["low"] == group["high"]:
        prices = f", price {_number(group['low'])}"
    else:
        prices = f", prices {_number(group['low'])} to {_number(group['high'])}"
    return f"{_count(group['ticks'], 'tick')}{volume}{prices}"


def _corrections(answer: Part) -> Iterator[str]:
    known = answer["corrections"]
    for each in known:
        now = each["replaced_by"]
        replaced = (
            "" if now is None else f"; the corrected trade is {_number(now['price'])}, size {_number(now['size'])}"
        )
        waiting = "" if each["tick_id"] else "; its tick has not come"
        yield (
            f"{each['kind']}: {_tick(each, answer)}; known since {_time(each['known_at'], answer)} "
            f"({each['source']}){replaced}{waiting}"
        )
    others = answer["taken_back"] - sum(each["tick_id"] is not None for each in known)
    if others > 0:
        yield f"{'and ' if known else ''}{_count(others, 'tick')} of which no more is listed"


def _late(answer: Part) -> Iterator[str]:
    late = answer["late"]
    if late["ticks"]:
        yield (
            f"{_count(late['ticks'], 'tick')} arrived after {_time(late['since'], answer)}, when the candle is first "
            f"refreshed; the last at {_time(late['last_received_at'], answer)}"
        )


def _feeds(answer: Part) -> Iterator[str]:
    if len(answer["feeds"]) > 1 or any(feed["secondary"] for feed in answer["feeds"]):
        for feed in answer["feeds"]:
            role = "secondary: makes no candles" if feed["secondary"] else "primary"
            yield f"{feed['feed']} ({role}): {_amount(feed)}"
    if sum(not feed["secondary"] for feed in answer["feeds"]) > 1:
        yield "MORE THAN ONE FEED MAKES THIS CANDLE: all but one need `candles: false` in feeds.yaml"


def _reception(answer: Part) -> Iterator[str]:
    span = _seconds(answer["until"], answer["bucket"])
    for feed in answer["coverage"]:
        refused = "; the provider refuses it" if feed["refused"] else ""
        if feed["seconds"] is None:
            yield f"how long {feed['feed']} received {answer['symbol']} is not known: that is kept for a week{refused}"
        else:
            yield f"{feed['feed']} received {answer['symbol']} for {feed['seconds']:,g} of {span:,.0f} s{refused}"
    for gap in answer["gaps"]:
        end = "now" if gap["ends_at"] is None else _time(gap["ends_at"], answer)
        repaired = f", {_count(gap['rows_repaired'], 'row')} repaired" if gap["rows_repaired"] else ""
        begin = _time(gap["begins_at"], answer)
        yield f"gap of {gap['feed']} from {begin} to {end}: {gap['cause']}, {gap['state']}{repaired}"
    if answer["gap_count"] > len(answer["gaps"]):
        yield f"and {answer['gap_count'] - len(answer['gaps']):,} more gaps"
    for halt in answer["halts"]:
        end = _time(halt["ends_at"], answer) if halt["ends_at"] < answer["until"] else "its end at least"
        yield f"trading was halted from {_time(halt['begins_at'], answer)} to {end}, as {halt['feed']} told"
    rejected = answer["rejected"]
    if not rejected["searched"]:
        yield "rejected events were not searched: there are too many of them; see ticks_platform.rejected_event"
    for reason in rejected.get("reasons") or ():
        yield f"{_count(reason['events'], 'event')} of {reason['feed']} rejected: {reason['reason']}"


def _official_price(price: Part) -> str:
    listed = "which lists it" if price["is_primary"] else "which does not list it"
    kind = price["kind"].replace("_", " ")
    return (
        f"{kind} {_number(price['price'])} of exchange {price['exchange'] or 'unknown'}, {listed}, "
        f"at {_time(price['time'])}; session {price['session']}, feed {price['feed']}"
    )


def _bar(bar: Part, answer: Part) -> str:
    is_minute = answer["refresh"]["candle"] == "one_minute_candle"
    apart = "" if is_minute else "; minutes without prices have volume and no bar, so volumes are not compared"
    secondary = {feed["feed"] for feed in answer.get("feeds") or () if feed["secondary"]}
    missing = answer.get("minutes", 0) - answer.get("minutes_without_prices", 0) - bar["bars"]
    if answer["candle"] is None:
        verdict = "there is no candle"
    elif bar["feed"] in secondary:
        verdict, apart = "not compared, since the feed is secondary", ""
    elif not answer["has_ended"]:
        verdict, apart = f"not compared, since the {_SPANS[answer['refresh']['candle']]} has not ended", ""
    elif bar["differs"]:
        verdict = f"the candle differs in {_words(bar['differs'])}"
        if not is_minute and missing > 0:
            verdict += f", but {_count(missing, 'minute')} with prices {'has' if missing == 1 else 'have'} no bar"
    else:
        verdict = "the candle is the same"
    return f"{bar['feed']}, {_count(bar['bars'], 'bar')}: {_values(bar)}; {verdict}{apart}"


def _refresh(answer: Part, span: str) -> Iterator[str]:
    refresh = answer["refresh"]
    if not refresh["materialized"]:
        yield f"the {span} is not materialized yet: it is computed from the ticks whenever it is read"
    elif refresh["changed_since"]:
        yield "ticks of it have changed since its last refresh; the next one takes them in"
    else:
        yield "materialized, and nothing of it has changed since"
    if refresh["refreshed_at"]:
        yield f"last refreshed at {_time(refresh['refreshed_at'])}, or later by a check or a job"


def _tick(tick: Part, answer: Part) -> str:
    parts = [f"{_number(tick['price'])} at {_time(tick['time'], answer)}"]
    if tick["size"] is not None:
        parts.append(f"size {_number(tick['size'])}")
    if tick["exchange"]:
        parts.append(f"exchange {tick['exchange']}")
    if tick["trade_id"] is not None:
        parts.append(f"trade {tick['trade_id']}")
    elif tick["tick_id"]:
        parts.append(f"tick {tick['tick_id']}")
    if "received_at" in tick and _seconds(tick["received_at"], tick["time"]) >= _LATE_AFTER:
        parts.append(f"arrived at {_time(re.sub(r'[.][0-9]+', '', tick['received_at']), answer)}")
    return ", ".join(parts)


def _conditions(conditions: Sequence[Part]) -> str:
    if not conditions:
        return "no condition"
    return " + ".join(f"{each['name'] or 'unknown condition'} ({each['condition']})" for each in conditions)


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _words(names: Sequence[str]) -> str:
    return ", ".join(map(_word, names))


def _word(name: str) -> str:
    return {
        "day_volume": "volume of the day",
        "tick_count": "number of ticks",
        "price_count": "ticks that formed prices",
    }.get(name, name)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _number(value: Any) -> str:
    """A price or a size, without the last digits of a sum of fractions; one that is no number comes as text."""
    if isinstance(value, float):
        return f"{value:,.15g}"
    return "none" if value is None else value if isinstance(value, str) else f"{value:,}"


def _moment(given: str) -> datetime:
    # Python 3.10 reads three digits or six.
    return datetime.fromisoformat(re.sub(r"\.(\d+)", lambda found: f".{found[1]:0<6}", given))


def _seconds(later: str, earlier: str) -> float:
    return (_moment(later) - _moment(earlier)).total_seconds()


def _time(given: str, answer: Part | None = None) -> str:
    """A time with its zone; without its date if that is the bucket's."""
    at = _moment(given)
    fraction = f"{at:.%f}".rstrip("0").rstrip(".")
    date = "" if answer is not None and given[:10] == answer["bucket"][:10] else f"{at:%Y-%m-%d} "
    return f"{date}{at:%H:%M:%S}{fraction}Z"
