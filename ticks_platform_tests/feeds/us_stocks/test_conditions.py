"""What the conditions of US stock trades allow: the table, Form T by the calendar, official prices, other markets."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticks_platform.feeds.calendars import calendar
from ticks_platform.feeds.columns import TickColumns
from ticks_platform.feeds.events import Control, Correction, Event, OfficialPrice, Rejected, Tick
from ticks_platform.feeds.history import Header
from ticks_platform.feeds.polygon import PolygonConnector
from ticks_platform.feeds.us_stocks.conditions import Rule, Rules, packaged_rules
from ticks_platform.feeds.us_stocks.regular_hours import hours_at, hours_of_day
from ticks_platform.timestamps import SECOND, to_nanoseconds

NEW_YORK = ZoneInfo("America/New_York")
NOON = datetime(2026, 3, 3, 12, tzinfo=NEW_YORK)

ALL, HIGH_LOW_AND_VOLUME, VOLUME, PRICES, NOTHING = None, 6, 4, 3, 0

ALLOWED = {
    ALL: [
        *(0, 1, 3, 4, 6, 8, 9, 11, 14, 17, 18, 19, 23, 24, 25, 27, 28, 30, 31, 34, 35, 36, 41, 55),
        *(57, 58, 59, 60, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71),
    ],
    HIGH_LOW_AND_VOLUME: [5, 10, 22, 32, 33],
    VOLUME: [2, 7, 12, 13, 20, 21, 29, 37, 52, 53],
    PRICES: [38],
    NOTHING: [15, 16],
}
"""The consolidated rules, by what a condition allows in regular hours."""


def polygon(market: str = "stocks") -> PolygonConnector:
    return PolygonConnector(url="ws://nowhere", api_key="k", options={"market": market})


def trade(c: Any, at: datetime = NOON, **fields: Any) -> dict[str, Any]:
    given = {"ev": "T", "sym": "AAPL", "x": 11, "i": "1", "p": 250.0, "s": 100, "t": round(at.timestamp() * 1000)}
    return {**given, "c": c, **fields}


def decoded(*trades: dict[str, Any], market: str = "stocks") -> list[Event]:
    """The events of a frame: the same one by one and by column."""
    frame = json.dumps(trades).encode()
    single = polygon(market).decode(frame)
    many = polygon(market).decode_many([frame])
    assert many is not None
    assert (many.events.ticks() if isinstance(many.events, TickColumns) else many.events) == single
    return single


def tick(c: Any, at: datetime = NOON, market: str = "stocks", **fields: Any) -> Tick:
    (event,) = decoded(trade(c, at, **fields), market=market)
    assert isinstance(event, Tick)
    return event


def updates(*c: int, at: datetime = NOON) -> int | None:
    return tick(list(c), at).updates


def new_york(day: date, hour: int, minute: int = 0, milliseconds: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK) + timedelta(milliseconds=milliseconds)


def test_the_table_has_the_rules_of_the_provider() -> None:
    rules = packaged_rules()
    of = {rule.condition: rules.updates(rules.of([rule.condition]), to_nanoseconds(NOON)) for rule in rules.rules}
    assert of == {id_: bits for bits, ids in ALLOWED.items() for id_ in ids}
    assert len(of) == len(rules.rules) == 56
    assert rules.version == 1
    assert {rule.provider for rule in rules.rules} == {"polygon"}
    letters = {rule.condition: rule.letters for rule in rules.rules}
    assert (letters[2], letters[12], letters[14]) == ("B (CTA), W (UTP, FINRA)", "T", "F (CTA, UTP)")


@pytest.mark.parametrize(("bits", "ids"), [(bits, ids) for bits, ids in ALLOWED.items() if bits not in (0, 3)])
def test_each_condition(bits: int | None, ids: list[int]) -> None:
    for id_ in ids:
        assert (updates(id_), tick([id_]).conditions) == (bits, (id_,))


def test_all_conditions_have_to_allow() -> None:
    assert updates(14, 41) is ALL
    assert updates(14, 37, 41) == updates(37, 14) == VOLUME
    assert updates(10, 41) == updates(32, 22) == HIGH_LOW_AND_VOLUME
    assert updates(32, 37) == VOLUME


def test_what_is_in_no_table_restricts_nothing() -> None:
    assert (updates(99), tick([99]).conditions) == (ALL, (99,))
    assert updates(37, 99) == VOLUME
    assert updates(57) is ALL


@pytest.mark.parametrize("nothing", [None, []])
def test_a_trade_without_conditions_may_change_everything(nothing: Any) -> None:
    assert (tick(nothing).updates, tick(nothing).conditions) == (None, None)
    (event,) = decoded({name: value for name, value in trade(None).items() if name != "c"})
    assert isinstance(event, Tick)
    assert event.conditions is None


@pytest.mark.parametrize(
    ("odd", "kept", "bits"),
    [
        (["37", 14], (37, 14), VOLUME),
        ([37.0], (37,), VOLUME),
        ([70_000, 37], (37,), VOLUME),
        ([-1, 10**30, 1e300, 37.5, None, True, [37], {"a": 37}, "x", "²", "9" * 5000], None, ALL),
        (37, (37,), VOLUME),
        ("37", (37,), VOLUME),
        ({"37": 37}, None, ALL),
        ([37] * 50, (37,) * 50, VOLUME),
    ],
)
def test_odd_conditions_lose_no_trade(odd: Any, kept: tuple[int, ...] | None, bits: int | None) -> None:
    found = tick(odd)
    assert (found.price, found.conditions, found.updates) == (250.0, kept, bits)


def test_many_different_conditions_are_forgotten() -> None:
    rules = Rules(packaged_rules().rules)
    for id_ in range(100, 5000):
        assert rules.read(b"[%d,37]" % id_).ids == (id_, 37)
    assert rules.read(b"[37]").ids == (37,)


SUMMER, WINTER = date(2026, 7, 1), date(2026, 12, 1)
HALF_DAY, HOLIDAY, SUNDAY = date(2026, 11, 27), date(2026, 11, 26), date(2026, 3, 1)


@pytest.mark.parametrize(
    ("at", "bits"),
    [
        (new_york(SUMMER, 9, 30, -1), ALL),
        (new_york(SUMMER, 9, 30), VOLUME),
        (new_york(SUMMER, 16, 0, -1), VOLUME),
        (new_york(SUMMER, 16), ALL),
        (new_york(WINTER, 9, 30, -1), ALL),
        (new_york(WINTER, 9, 30), VOLUME),
        (new_york(WINTER, 16, 0, -1), VOLUME),
        (new_york(WINTER, 16), ALL),
        (new_york(WINTER, 19, 59), ALL),  # the next day in UTC
        (new_york(HALF_DAY, 13, 0, -1), VOLUME),
        (new_york(HALF_DAY, 13), ALL),
        (new_york(HALF_DAY, 15, 59), ALL),
        (new_york(HOLIDAY, 12), ALL),
        (new_york(SUNDAY, 12), ALL),
        # The days after the clocks were changed.
        (new_york(date(2026, 3, 9), 9, 30, -1), ALL),
        (new_york(date(2026, 3, 9), 9, 30), VOLUME),
        (new_york(date(2026, 11, 2), 15, 59), VOLUME),
        (new_york(date(2026, 11, 2), 16), ALL),
    ],
)
def test_form_t_restricts_in_regular_hours_only(at: datetime, bits: int | None) -> None:
    assert updates(12, at=at) == bits
    assert updates(12, 37, at=at) == VOLUME
    assert updates(12, 10, at=at) == (HIGH_LOW_AND_VOLUME if bits is ALL else VOLUME)


def test_a_frame_across_the_close() -> None:
    close = new_york(WINTER, 16)
    events = decoded(*(trade([12], close + timedelta(milliseconds=ms)) for ms in (-1, 0, 1)))
    assert [event.updates for event in events if isinstance(event, Tick)] == [VOLUME, None, None]


def test_regular_hours_are_those_of_the_calendar() -> None:
    """So that no other time needs it."""
    begin, end = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (2010, 2027))
    openings = calendar("XNYS").openings(begin.timestamp(), end.timestamp())
    assert len(openings) > 4000
    for opening in openings:
        opens, closes = round(opening.opens) * SECOND, round(opening.closes) * SECOND
        assert (hours_at(opens), hours_at(closes - 1)) == ((opens, closes, True),) * 2
        assert not hours_at(opens - 1).regular
        assert not hours_at(closes).regular
        day = hours_of_day(opens // (86_400 * SECOND) * 86_400 * SECOND)
        assert [hours.regular for hours in day] == [False, True, False]
        assert day[0].end == day[1].begin == opens
        assert day[2].begin == closes


def test_extended_hours_need_no_calendar() -> None:
    """The calendar imports pandas: three seconds and 125 MB."""
    frames = json.dumps([trade([12], new_york(WINTER, hour)) for hour in (4, 9, 16, 19)])
    code = (
        "import sys; from ticks_platform.feeds.polygon.events import decode\n"
        f"assert len(decode({frames.encode()!r})) == 4; sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def rule(version: int, day: date, condition: int, *flags: bool) -> Rule:
    return Rule(version, day, "polygon", condition, "a name", "", *flags)


def test_the_newest_rule_that_holds_decides() -> None:
    old, new = date(2020, 1, 1), date(2026, 3, 3)
    rules = Rules(
        [
            rule(1, old, 37, False, False, True),
            rule(2, new, 37, True, True, True),
            rule(1, old, 10, True, True, True),
            rule(3, old, 10, False, True, True),
            rule(4, new, 12, False, False, False),
        ]
    )
    midnight = to_nanoseconds(new_york(new, 0))
    odd_lot, derivative, late = rules.of([37]), rules.of([10]), rules.of([12])
    assert [rules.updates(odd_lot, at) for at in (midnight - 1, midnight)] == [VOLUME, ALL]
    assert [rules.updates(derivative, at) for at in (midnight - 1, midnight)] == [HIGH_LOW_AND_VOLUME] * 2
    assert rules.updates(odd_lot, to_nanoseconds(new_york(date(2019, 12, 31), 23, 59))) is ALL
    assert rules.updates(late, to_nanoseconds(NOON)) == NOTHING
    assert rules.updates(late, to_nanoseconds(new_york(new, 18))) is ALL
    column = rules.updates_of([odd_lot, late], np.array([0, 0, 1]), np.array([midnight - 1, midnight, midnight]))
    assert column is not None
    assert [None if bits != bits else bits for bits in column.tolist()] == [VOLUME, None, None]
    assert rules.version == 4


@pytest.mark.parametrize(
    ("c", "kind"),
    [
        ([15], "close"),
        ([15, 41], "close"),
        ([16], "open"),
        ([38], "corrected_close"),
        ([38, 41], "corrected_close"),
        ([15, 38], "corrected_close"),
    ],
)
def test_official_prices_are_no_ticks(c: list[int], kind: str) -> None:
    evening = new_york(WINTER, 19, 30)  # the next day in UTC
    before, event, after = decoded(trade([]), trade(c, evening, x=12, z=3, s=0, ds="4.5"), trade([37]))
    assert isinstance(event, OfficialPrice)
    assert (event.kind, event.session, event.price, event.size) == (kind, WINTER, 250.0, 4.5)
    assert (event.time, event.exchange, event.is_primary) == (to_nanoseconds(evening), "12", True)
    assert [type(before), type(after)] == [Tick, Tick]


@pytest.mark.parametrize(
    ("tape", "listing"), [(1, {10}), (2, {1, 11, 19}), (3, {12}), ("3", {12}), (None, ()), (9, ()), ([3], ())]
)
def test_the_listing_exchange_is_told_by_the_tape(tape: Any, listing: set[int]) -> None:
    events = decoded(*(trade([15], x=exchange, z=tape) for exchange in range(25)))
    assert [event.is_primary for event in events if isinstance(event, OfficialPrice)] == [
        exchange in listing for exchange in range(25)
    ]


def test_rules_are_those_of_stocks_only() -> None:
    """Conditions of other markets have other numbers, or are something else."""
    for c in ([37], [15], [2], [12, 38]):
        found = tick(c, market="options")
        assert (found.updates, found.conditions) == (None, tuple(c))
    crypto = {"ev": "XT", "pair": "BTC-USD", "p": 1.5, "t": 1_700_000_000_000, "s": 1, "c": [2], "i": "1", "x": 1}
    (event,) = decoded(crypto, market="crypto")
    assert isinstance(event, Tick)
    assert (event.updates, event.conditions) == (None, None)


def by_rest(*results: dict[str, Any], market: str = "stocks") -> list[Event]:
    history = polygon(market).history()
    assert history is not None
    return history.decode(
        Header("polygon trades", "AAPL"), [msgspec.Raw(json.dumps(each).encode()) for each in results]
    )


AT = to_nanoseconds(NOON)
REST = {"id": "bust", "price": 300.0, "size": 10, "exchange": 4, "trf_id": 202, "sip_timestamp": AT + 5, "tape": 3}


@pytest.mark.parametrize("c", [[37], [14, 41], [12], [99], [], None, 37, ["2", 10**9], [15], [16, 41], [38, 41]])
@pytest.mark.parametrize("market", ["stocks", "options"])
def test_rest_and_websocket_agree(c: Any, market: str) -> None:
    over_websocket = decoded(trade(c, i="bust", p=300.0, s=10, x=4, trfi=202, z=3), market=market)
    assert by_rest({**REST, "conditions": c}, market=market) == over_websocket


def test_the_takers_side_of_crypto_is_no_condition() -> None:
    (event,) = by_rest({**REST, "conditions": [2]}, market="crypto")
    assert isinstance(event, Tick)
    assert (event.updates, event.conditions) == (None, None)


def correction(kind: Any, code: int, at: int = AT, **which: Any) -> Correction:
    return Correction("AAPL", at, "4/202", "bust", kind, f"REST correction {code}", **which)


def test_corrections_of_rest() -> None:
    trade_ = {**REST, "conditions": [37]}
    (told,) = by_rest(trade_)
    data = {"price": 300.0, "size": 10.0, "conditions": (37,)}
    kept = {f"kept_{name}": value for name, value in data.items()}
    expected: dict[int, list[Event]] = {
        0: [told],
        1: [correction("corrected", 1, **kept), told],
        7: [told, correction("cancelled", 7)],
        8: [told, correction("cancelled", 8)],
        10: [correction("cancelled", 10)],
        11: [correction("cancelled", 11)],
        12: [correction("corrected", 12, **data)],
    }
    for code, events in expected.items():
        assert by_rest({**trade_, "correction": code}) == events
        assert by_rest({**trade_, "correction": str(code)}) == events


def test_a_corrected_pair_with_equal_data_takes_no_trade_back() -> None:
    """What was corrected is in no field that is stored, such as the sequence number."""
    pair = [{**REST, "conditions": [37, 41], "correction": 1}, {**REST, "conditions": [41, 37], "correction": 12}]
    for records in (pair, pair[::-1]):
        events = by_rest(*records)
        assert {type(event) for event in events} == {Correction, Tick, Control}
        assert all(event.price is None for event in events if isinstance(event, Correction))
    others = by_rest(pair[0], {**pair[1], "conditions": []}, {**pair[1], "price": 1.0}, {**pair[1], "id": "2"})
    assert sum(isinstance(event, Correction) for event in others) == 4


def test_a_correction_has_the_time_of_its_trade() -> None:
    (event,) = by_rest({**REST, "sip_timestamp": AT + 10**12, "participant_timestamp": AT + 7, "correction": 10})
    assert event == correction("cancelled", 10)


def test_corrections_that_name_no_trade() -> None:
    nameless = {**REST, "id": ""}
    assert [type(event) for code in (7, 8, 10, 11, 12, 5) for event in by_rest({**nameless, "correction": code})] == [
        Rejected
    ] * 6
    assert [type(event) for event in by_rest({**nameless, "correction": 1})] == [Tick]
    assert [type(event) for event in by_rest({**REST, "correction": 5})] == [Rejected]


def test_a_withdrawn_official_price_is_none() -> None:
    official = {**REST, "conditions": [15]}
    for code in (7, 8, 10, 11, 12):
        assert by_rest({**official, "correction": code}) == [Control("withdrawn official price")]
    for code in (0, 1):
        assert [type(event) for event in by_rest({**official, "correction": code})] == [OfficialPrice]


@given(minutes=st.lists(st.integers(0, 12 * 24 * 60), min_size=1, max_size=8), seed=st.integers(0, 10**6))
def test_many_trades_of_any_hours_may_change_what_each_may(minutes: list[int], seed: int) -> None:
    """Over a change to summer time and a weekend, and more periods than are looked up together."""
    rules = packaged_rules()
    begin = int(datetime(2024, 3, 6, tzinfo=timezone.utc).timestamp()) * 10**9
    times = np.array([begin + minute * 60 * 10**9 for minute in minutes], np.int64)
    different = [rules.read(raw) for raw in (b"", b"[12]", b"[12,37]", b"[14]")]
    which = np.array([(seed + place) % len(different) for place in range(len(minutes))], np.intp)
    one_by_one = [rules.updates(different[kind], at) for kind, at in zip(which.tolist(), times.tolist(), strict=True)]
    found = rules.updates_of(different, which, times)
    many = [None] * len(minutes) if found is None else [None if bits != bits else int(bits) for bits in found.tolist()]
    assert many == one_by_one


@pytest.mark.parametrize("name", ["conditions", "regular_hours"])
def test_the_former_home_has_the_same(name: str) -> None:
    """Connectors of users' own import the rules from there."""
    former = importlib.import_module(f"ticks_platform.feeds.polygon.{name}")
    shared = importlib.import_module(f"ticks_platform.feeds.us_stocks.{name}")
    assert former.__all__
    assert all(getattr(former, each) is getattr(shared, each) for each in former.__all__)
