"""Twelve Data's names of exchanges, and their market identifier codes (ISO 10383).

Source: the provider's reference endpoint `/exchanges`, of which `name` is what a listing is asked by (`RY:TSX`), and
what the field `exchange` of a price has; `code` is its `mic_code`. Those of crypto are the best known ones of
`/cryptocurrency_exchanges`; they have no code. A listing of an exchange that is not here works too, but is spelled as
feeds.yaml spells it, and needs the field `exchange`.
"""

from __future__ import annotations

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

_SPELLED = {name.casefold(): name for name in MICS}


def is_known(exchange: str) -> bool:
    """Whether the table has this exchange, in any case of letters."""
    return exchange.casefold() in _SPELLED


def spelled(exchange: str) -> str:
    """The exchange as the provider spells it; unchanged if the table does not have it."""
    return _SPELLED.get(exchange.casefold(), exchange)


def codes(exchange: str) -> tuple[str, ...]:
    """The codes of the exchange; none if they are not known."""
    return MICS.get(spelled(exchange), ())
