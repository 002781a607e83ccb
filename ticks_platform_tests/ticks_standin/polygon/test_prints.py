"""The mixture of a real tape: shares, prices that are not the market's, auctions, extended hours, corrections."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ticks_standin.market.bars import UNITS
from ticks_standin.market.hours import TradingHours
from ticks_standin.polygon.prints import TRF, PlainPrints, Print, Prints, round_lot

TUESDAY = datetime(2026, 3, 3, 5, tzinfo=timezone.utc)
"""Midnight in New York."""

SATURDAY = datetime(2026, 3, 7, 15, tzinfo=timezone.utc)
HALF_DAY = datetime(2026, 11, 27, 5, tzinfo=timezone.utc)
OFF_THE_MARKET = {2, 7, 10, 20, 21, 22, 29, 32, 52, 53}


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)


def prints(price: float = 100.0, **options: Any) -> Prints:
    return Prints(price, **{"primary": 12, "tape": 3, "draw": random.Random(3), "hours": TradingHours(), **options})


def over(begins: datetime, hours: float, count: int, tape: Prints | PlainPrints | None = None) -> list[Print]:
    """So many prints evenly over an interval, at a market that stands at 100."""
    tape = tape or prints()
    start, step = ms(begins), hours * 3_600_000 / count
    return [tape.next(100.0, 120.0, start + round(step * number), fractional=0.0) for number in range(count)]


def test_the_mixture_of_regular_hours() -> None:
    made = over(TUESDAY + timedelta(hours=10), 5, 40_000)
    share = {condition: n / 40_000 for condition, n in Counter(c for each in made for c in each.conditions).items()}
    assert 0.64 < share[37] < 0.68
    assert 0.025 < sum(share.get(condition, 0) for condition in OFF_THE_MARKET - {32}) < 0.035
    assert 0.004 < share[32] < 0.008
    assert 0 < share[99] < 0.002
    assert not {12, 13, 15, 16, 38} & share.keys()
    assert {(), (14,), (14, 41), (41,), (37,), (14, 37, 41)} <= {each.conditions for each in made}
    forming = sum(not set(each.conditions) & (OFF_THE_MARKET | {37}) for each in made)
    assert 0.28 < forming / 40_000 < 0.36, "a third forms prices"


def test_a_tape_of_known_conditions_alone() -> None:
    made = over(TUESDAY + timedelta(hours=10), 5, 10_000, prints(unknown=False))
    assert not {57, 99} & {condition for each in made for condition in each.conditions}


def test_what_is_off_the_market() -> None:
    for each in over(TUESDAY + timedelta(hours=10), 5, 20_000):
        away = abs(each.price / 100.0 - 1)
        if set(each.conditions) & OFF_THE_MARKET:
            assert 0.0009 < away <= 0.051
            assert each.exchange == TRF or {52, 53} & set(each.conditions)
        elif 37 in each.conditions:
            assert away <= 0.00051
            assert each.volume < 100 * UNITS
        else:
            assert (away, each.volume % (100 * UNITS)) == (0, 0)
        assert (each.lag_ms >= 10_000) == (32 in each.conditions)


def test_form_t_in_extended_hours_only() -> None:
    for each in over(TUESDAY + timedelta(hours=10), 5, 3_000):
        assert not {12, 13} & set(each.conditions)
    late = 0
    for begins, hours in ((TUESDAY + timedelta(hours=4), 5.4), (TUESDAY + timedelta(hours=17), 2), (SATURDAY, 5)):
        for each in over(begins, hours, 3_000):
            assert len({12, 13} & set(each.conditions)) == 1
            assert 32 not in each.conditions
            late += 13 in each.conditions
    assert late > 10


def test_after_an_early_close() -> None:
    tape = prints(auctions=False)
    for each in over(HALF_DAY + timedelta(hours=12), 2, 2_000, tape):
        assert len(each.conditions) <= 4
    begins = HALF_DAY + timedelta(hours=13)
    assert not TradingHours().is_regular(ms(begins))
    assert all({12, 13} & set(each.conditions) for each in over(begins, 1, 500, tape))


@pytest.mark.parametrize(
    ("price", "lot"), [(100.0, 100), (250.0, 100), (250.01, 40), (1_000.0, 40), (5_000.0, 10), (20_000.0, 1)]
)
def test_round_lots_go_by_price(price: float, lot: int) -> None:
    assert round_lot(price) == lot
    tape = prints(price)
    at = ms(TUESDAY + timedelta(hours=10))
    for number in range(2_000):
        each = tape.next(price, 120.0, at + number, fractional=0.05)
        shares = each.volume / UNITS
        assert (37 in each.conditions) == (shares < lot)
        assert 37 in each.conditions or shares % lot == 0


@pytest.mark.parametrize(
    ("tape", "opening", "closing"), [(3, (9, 25, 41), (8, 9, 41)), (1, (17,), (19,)), (2, (17,), (19,))]
)
def test_auctions_and_official_prices(tape: int, opening: tuple[int, ...], closing: tuple[int, ...]) -> None:
    made = over(TUESDAY + timedelta(hours=9), 8, 4_000, prints(tape=tape, primary=10))
    special = [each for each in made if {8, 15, 16, 17, 19, 25} & set(each.conditions)]
    opened, official_open, closed, official_close, elsewhere = special
    assert (opened.conditions, official_open.conditions) == (opening, (16,))
    assert (closed.conditions, official_close.conditions, elsewhere.conditions) == (closing, (15,), (15,))
    for auction, official in ((opened, official_open), (closed, official_close)):
        assert (auction.price, auction.volume, auction.exchange) == (official.price, official.volume, 10)
        assert auction.volume >= 5_000 * UNITS
        assert made.index(official) == made.index(auction) + 1
    assert elsewhere.exchange not in (10, TRF)
    assert [each.closes for each in special] == [0, 0, 0, 1, 0]


def test_no_auction_where_the_market_began_later_or_has_none() -> None:
    began_later = over(TUESDAY + timedelta(hours=10), 2, 500)
    has_none = over(TUESDAY + timedelta(hours=9), 8, 2_000, prints(auctions=False))
    assert not [each for each in began_later + has_none if {15, 16} & set(each.conditions)]


def test_a_corrected_close_once_in_a_while() -> None:
    corrected = 0
    for seed in range(200):
        made = over(TUESDAY + timedelta(hours=15.9), 0.5, 20, prints(draw=random.Random(seed)))
        found = [each for each in made if 38 in each.conditions]
        assert len(found) <= 1
        corrected += len(found)
        for each in found:
            assert (each.conditions, each.volume, each.exchange, each.closes) == ((38, 41), 0, 12, 2)
    assert 0 < corrected < 15


def test_some_are_taken_back() -> None:
    made = over(TUESDAY + timedelta(hours=10), 5, 20_000, prints(taken_back=0.05))
    fates = Counter(each.fate for each in made)
    assert 700 < sum(fates.values()) - fates[0] < 1_300
    assert fates[8] > fates[1] > fates[7] > 0
    wrong = [each for each in made if each.fate]
    assert all(each.conditions == () and (each.right[0] == 100.0) == (each.fate == 1) for each in wrong)
    assert 0.3 < sum(abs(each.price - 100) > 1 for each in wrong) / len(wrong) < 0.7, "some spoil high and low"


def test_plain_prints_may_do_all() -> None:
    made = over(TUESDAY + timedelta(hours=4), 16, 3_000, PlainPrints(random.Random(1)))
    assert {each.conditions for each in made} == {(), (14,), (14, 41), (41,)}
    assert {each.price for each in made} == {100.0}


def test_the_same_seed_gives_the_same_prints() -> None:
    assert over(TUESDAY, 20, 500, prints()) == over(TUESDAY, 20, 500, prints())
