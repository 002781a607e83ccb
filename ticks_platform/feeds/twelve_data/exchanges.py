"""Twelve Data's names of exchanges, and their market identifier codes (ISO 10383).

Source: the provider's reference endpoint `/exchanges`, of which `name` is what a listing is asked by (`RY:TSX`), and
what the field `exchange` of a price has; `code` is its `mic_code`. Those of crypto are the best known ones of
`/cryptocurrency_exchanges`; they have no code, and never close. A listing of an exchange that is not here works too,
but is spelled as feeds.yaml spells it, and needs the field `exchange`.
"""

from __future__ import annotations

from ticks_platform.feeds.calendars import ALWAYS

MICS: dict[str, tuple[str, ...]] = {
    "ADX": ("XADS",),
    "ASE": ("ASEX",),
    "ASX": ("XASX",),
    "BIST": ("XIST",),
    "BME": ("XMAD", "BMEX"),
    "BMV": ("XMEX",),
    "Bovespa": ("BVMF", "XBSP"),
    "BSE": ("XBOM",),
    "BVB": ("XBSE",),
    "BVL": ("XLIM",),
    "BVS": ("XSGO",),
    "CBOE": ("BATS", "CBSX", "XCBO"),
    "CSE": ("XCNQ",),
    "DFM": ("XDFM",),
    "EGX": ("XCAI",),
    "Euronext": ("XPAR", "XAMS", "XBRU", "XLIS", "XMSM", "XDUB", "ALXP", "XMLI"),
    "FSX": ("XFRA",),
    "GPW": ("XWAR",),
    "HKEX": ("XHKG",),
    "HOSE": ("XSTC",),
    "ICEX": ("XICE",),
    "IDX": ("XIDX",),
    "JPX": ("XJPX", "XTKS"),
    "JSE": ("XJSE",),
    "KOSDAQ": ("XKOS",),
    "KRX": ("XKRX",),
    "LSE": ("XLON", "AIMX"),
    "MOEX": ("MISX",),
    "MTA": ("XMIL", "MTAA"),
    "Munich": ("XMUN",),
    "MYX": ("XKLS",),
    "NASDAQ": ("XNAS", "XNGS", "XNMS", "XNCM"),
    "NEO": ("NEOE",),
    "NSE": ("XNSE",),
    "NYSE": ("XNYS", "XASE", "ARCX"),
    "NZX": ("XNZE",),
    "OMX": ("XSTO",),
    "OMXC": ("XCSE",),
    "OMXH": ("XHEL",),
    "OMXR": ("XRIS",),
    "OMXT": ("XTAL",),
    "OMXV": ("XLIT",),
    "OSE": ("XOSL",),
    "OTC": ("OTCM", "PINX", "OTCB", "OTCQ", "PSGM", "EXPM"),
    "PSE": ("XPRA",),
    "PSX": ("XKAR",),
    "QE": ("DSMD",),
    "SET": ("XBKK",),
    "SGX": ("XSES",),
    "SIX": ("XSWX",),
    "SSE": ("XSHG",),
    "SZSE": ("XSHE",),
    "Tadawul": ("XSAU",),
    "TASE": ("XTAE",),
    "TSX": ("XTSE",),
    "TSXV": ("XTSX",),
    "TWSE": ("XTAI",),
    "VSE": ("XWBO",),
    "XBER": ("XBER",),
    "XDUS": ("XDUS",),
    "XETR": ("XETR",),
    "XHAM": ("XHAM",),
    "XHAN": ("XHAN",),
    "XSTU": ("XSTU",),
    "Binance": (),
    "Binance US": (),
    "Bitfinex": (),
    "Bitstamp": (),
    "Bittrex": (),
    "Coinbase Pro": (),
    "FTX": (),
    "Gemini": (),
    "Huobi": (),
    "Kraken": (),
    "KuCoin": (),
    "OKX": (),
    "Poloniex": (),
}
"""The codes of each exchange, by its name. One exchange has several where its markets have."""

_SPELLED = {code.casefold(): name for name, codes_of in MICS.items() for code in codes_of}
_SPELLED |= {name.casefold(): name for name in MICS}

_US = ("CBOE", "NASDAQ", "NYSE", "OTC")

_CALENDARS = {
    **dict.fromkeys(_US, "XNYS"),
    **dict.fromkeys(("CSE", "NEO", "TSXV"), "XTSE"),
    **dict.fromkeys(("FSX", "Munich", "XBER", "XDUS", "XHAM", "XHAN", "XSTU"), "XFRA"),
    **dict.fromkeys(("ADX", "ASE", "BVB", "DFM", "EGX", "HOSE", "MOEX", "QE", "TASE"), ALWAYS),
    "JPX": "XTKS",
    "KOSDAQ": "XKRX",
    "NSE": "XBOM",
    "SZSE": "XSHG",
}
"""Calendars of exchanges whose first code has none, or one that exchange_calendars 4.13 cannot make: that of another
exchange of the country, or else `always`."""


def is_known(exchange: str) -> bool:
    """Whether the table has this exchange, by its name or a code, in any case of letters."""
    return exchange.casefold() in _SPELLED


def spelled(exchange: str) -> str:
    """The exchange as the provider spells it, given by its name or a code; unchanged if the table does not have it."""
    return _SPELLED.get(exchange.casefold(), exchange)


def codes(exchange: str) -> tuple[str, ...]:
    """The codes of the exchange; none if they are not known."""
    return MICS.get(spelled(exchange), ())


def is_of_us(exchange: str) -> bool:
    """Whether the exchange is one of the US."""
    return spelled(exchange) in _US


def calendar(exchange: str) -> str:
    """The calendar of the exchange; `always` if it never closes, or if none is known."""
    name = spelled(exchange)
    return _CALENDARS.get(name) or next(iter(codes(name)), ALWAYS)
