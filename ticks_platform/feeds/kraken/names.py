"""Kraken's names of pairs: the WebSocket API v2 writes ``BTC/USD``, the REST API ``XBTUSD``.

Sources: docs.kraken.com, «Spot WebSocket» (v2: BTC/USD, v1: XBT/USD) and «Get Recent Trades» (XBTUSD); v2 answers
«Currency pair not supported XBT/USD» to the old names (JKorf/Kraken.Net, issue 126; published recordings).
Doubt: whether the REST API knows each pair by both assets in a row. AssetPairs calls that `altname`, and all published
ones are so.
"""

_REST = {"BTC": "XBT", "DOGE": "XDG"}
"""The REST API's names of assets that have another one in the WebSocket API v2."""

_WEBSOCKET = {old: new for new, old in _REST.items()}


def pair(symbol: str) -> str:
    """The WebSocket's name of a symbol of feeds.yaml: ``btc-usd`` and ``XBT/USD`` are ``BTC/USD``."""
    return "/".join(_WEBSOCKET.get(asset, asset) for asset in symbol.upper().replace("-", "/").split("/"))


def rest_pair(name: str) -> str:
    """The REST API's name of a pair of the WebSocket."""
    return "".join(_REST.get(asset, asset) for asset in name.split("/"))
