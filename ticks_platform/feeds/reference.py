"""The interface of a provider's reference API, without I/O: what is known of an instrument, and how to ask for it.

A connector says what its market lets expect (`Connector.instrument`), and returns its `Reference` from
`Connector.reference`, if the provider has one. See docs/connectors.md.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Sequence
from typing import NamedTuple

from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest

MAY_BE_NEGATIVE = frozenset({"future", "index", "commodity", "other"})
"""Asset classes whose prices may be zero or negative: WTI's future was at -37.63 on 2020-04-20 and its spot price
followed, indices such as TICK count around zero, and spreads are none of the others."""

_METALS = re.compile("XAU|XAG|XPT|XPD|XCU", re.IGNORECASE)
_ENERGIES = re.compile("WTI|XTI|XBR|XNG|NG", re.IGNORECASE)
"""Spot prices of oil and gas, as providers write them as a pair with a currency."""
_CURRENCIES = re.compile(
    "AED|AFN|ALL|AMD|ANG|AOA|ARS|AUD|AWG|AZN|BAM|BBD|BDT|BGN|BHD|BIF|BMD|BND|BOB|BRL|BSD|BTN|BWP|BYN|BZD|CAD|CDF|CHF|"
    "CLP|CNH|CNY|COP|CRC|CUP|CVE|CZK|DJF|DKK|DOP|DZD|EGP|ERN|ETB|EUR|FJD|FKP|GBP|GEL|GHS|GIP|GMD|GNF|GTQ|GYD|HKD|HNL|"
    "HRK|HTG|HUF|IDR|ILS|INR|IQD|IRR|ISK|JMD|JOD|JPY|KES|KGS|KHR|KMF|KRW|KWD|KYD|KZT|LAK|LBP|LKR|LRD|LSL|LYD|MAD|MDL|"
    "MGA|MKD|MMK|MOP|MRU|MUR|MVR|MWK|MXN|MYR|MZN|NAD|NGN|NIO|NOK|NPR|NZD|OMR|PAB|PEN|PGK|PHP|PKR|PLN|PYG|QAR|RON|RSD|"
    "RUB|RWF|SAR|SBD|SCR|SDG|SEK|SGD|SHP|SLE|SOS|SRD|SSP|STN|SVC|SYP|SZL|THB|TJS|TMT|TND|TOP|TRY|TTD|TWD|TZS|UAH|UGX|"
    "USD|UYU|UZS|VES|VND|VUV|WST|XAF|XCD|XOF|XPF|YER|ZAR|ZMW|ZWL",
    re.IGNORECASE,
)
"""ISO 4217, without MNT, which is a coin as well."""


class Facts(NamedTuple):
    """What is known of an instrument; None is what is not."""

    asset_class: str | None = None
    """One of `symbol_settings.AssetClass`."""
    mic: str | None = None
    """The exchange that lists it, by its four-character code."""
    currency: str | None = None
    """Unit of its prices, as `symbol_settings.currency_code` spells it."""
    tick_size: float | None = None
    """Smallest step of its price."""
    round_lot: float | None = None
    """Units of a round lot, as of today."""
    may_be_negative: bool | None = None
    """Whether its price may be zero or negative; by the asset class if None."""


class Reference(abc.ABC):
    """One provider's reference API. Limits are those of the provider's smallest plan, and shared with its history."""

    requests_per_minute: int | None = None
    requests_per_day: int | None = None

    @abc.abstractmethod
    def places(self, symbol: str) -> Sequence[str]:
        """Where a symbol of feeds.yaml may be found, the likeliest first. They contain no secret."""

    @abc.abstractmethod
    def request(self, place: str) -> HistoryRequest:
        """The request for one of these places."""

    @abc.abstractmethod
    def facts(self, symbol: str, place: str, answer: HistoryAnswer) -> Facts | None:
        """What the response from a place tells of the symbol; None if it is not there. Raises a HistoryError."""


def code(text: str | None, pattern: str = "[A-Z0-9]{3,10}") -> str | None:
    """A code of a currency, or by another pattern of an exchange, as a provider wrote it; None if it is none."""
    return text if text is not None and re.fullmatch(pattern, text) else None


def mic_code(text: str | None) -> str | None:
    """An exchange's MIC, as a provider wrote it; None if it is none."""
    return code((text or "").strip().upper(), "[A-Z0-9]{4}")


def pair(base: str, quote: str) -> Facts:
    """What two sides of a pair let expect: metals, oil and gas, currencies, or else crypto."""
    if _METALS.fullmatch(base):
        return Facts("commodity", currency=code(quote.upper()), may_be_negative=False)
    if _ENERGIES.fullmatch(base) and _CURRENCIES.fullmatch(quote):
        return Facts("commodity", currency=code(quote.upper()))
    known = _CURRENCIES.fullmatch(base) and _CURRENCIES.fullmatch(quote)
    return Facts("currency" if known else "crypto", currency=code(quote.upper()))
