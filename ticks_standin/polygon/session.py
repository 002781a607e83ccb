"""The server's side of Polygon's WebSocket protocol.

Sources of the facts: the official docs, knowledge base and clients (massive 2.9.1 for Python, client-go, client-js);
frames captured from the live service (massivedotnet and rustrade in 2026, alpaca's marketstore). What no source
confirms has a setting. Frames of the server are always JSON arrays, messages of a client single objects.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Sequence

import msgspec

from ticks_standin.polygon.events import CHANNELS, PROVIDER, EventMaker, Source
from ticks_standin.provider.keys import Keys
from ticks_standin.provider.session import Disconnect, Reply, Victim
from ticks_standin.settings import StandInSettings

MARKETS = tuple(CHANNELS)

_MARKET_OF_PATH = {f"/{market}": market for market in MARKETS}
_NO_PLAN = "Your plan doesn't include websocket access. Visit https://massive.com/pricing to upgrade."
# That these two statuses are sent is known (comment in massive 2.9.1), their texts are not.
_SLOW_TEXTS = {
    "slow_consumer": "Slow consumer: the connection does not read as fast as it is sent to.",
    "force_disconnect": "Disconnected: the connection did not read what it was sent.",
}


class _Message(msgspec.Struct):
    action: str
    params: str = ""


_messages = msgspec.json.Decoder(_Message)


def market_of(path: str) -> str | None:
    """The market that a URL's path names: a connection is for one market."""
    return _MARKET_OF_PATH.get(path)


class PolygonSession:
    """One client's session: greeting, authentication, subscriptions."""

    provider = PROVIDER
    # There is no heartbeat in the protocol: a client that sends nothing more stays connected.
    idle_timeout_s = None

    def __init__(
        self, settings: StandInSettings, events: EventMaker, keys: Keys, market: str, rng: random.Random
    ) -> None:
        """``rng`` draws the sizes of frames."""
        self.key = ""
        self.login_timeout_s = settings.polygon_auth_timeout_s
        self._settings = settings
        self._events = events
        self._keys = keys
        self._market = market
        self._rng = rng
        self._channels: dict[str, tuple[str, str, str]] = {}
        self._topics: set[Hashable] = set()
        self._subscribed_once = False

    @property
    def account(self) -> Hashable | None:
        """The limit is per cluster (knowledge base); a connection counts once it has subscribed (rustrade)."""
        return (PROVIDER, self._market, self.key) if self._subscribed_once else None

    def greeting(self) -> Sequence[bytes]:
        """Sent right after the upgrade."""
        return [_frame(("connected", "Connected Successfully"))]

    def receive(self, message: str | bytes, now: float) -> Reply:
        """The statuses that answer a message, if any. Clients pipeline: messages are handled in order."""
        try:
            received = _messages.decode(message)
        except msgspec.DecodeError:
            return Reply([_frame(("error", "invalid message"))])
        if received.action == "auth":
            return self._authenticate(received.params)
        if not self.key:
            return Reply([_frame(("error", "not authorized"))])
        statuses: list[tuple[str, str]] = []
        for item in received.params.split(","):
            if received.action == "subscribe":
                statuses += self._subscribe(item.strip())
            elif received.action == "unsubscribe":
                statuses += self._unsubscribe(item.strip())
        # Once for all: a message may name thousands.
        self._topics = set(self._channels.values())
        if self._settings.polygon_ack_frames == "several":
            return Reply([_frame(status) for status in statuses])
        return Reply([_frame(*statuses)] if statuses else [])

    def _authenticate(self, key: str) -> Reply:
        settings = self._settings
        if self._market in settings.polygon_unentitled_markets:
            return Reply([_frame(("auth_failed", _NO_PLAN))], drop=True)
        if self._keys.accepts(key):
            self.key = key
            return Reply([_frame(("auth_success", "authenticated"))])
        if settings.polygon_bad_key_mode == "auth_timeout":
            return Reply()
        text = _NO_PLAN if settings.polygon_bad_key_mode == "not_entitled" else "authentication failed"
        return Reply([_frame(("auth_failed", text))], drop=True)

    def overdue(self) -> Reply | None:
        """The text is from alpaca's marketstore; the time-out is not known."""
        if self.key:
            return None
        return Reply([_frame(("auth_timeout", "No authentication request received."))], drop=True)

    def _subscribe(self, channel: str) -> list[tuple[str, str]]:
        topic, point, symbol = channel.partition(".")
        if topic not in CHANNELS[self._market] or not point or channel in self._channels:
            # An unknown topic and a repeated subscription get no answer (rustrade, massivedotnet).
            return []
        unauthorized = self._settings.polygon_unauthorized_channels
        if topic in unauthorized or channel in unauthorized:
            return [("error", "not authorized")]
        self._channels[channel] = (self._market, topic, self._common(symbol))
        self._subscribed_once = True
        return [("success", f"subscribed to: {channel}")]

    def _unsubscribe(self, channel: str) -> list[tuple[str, str]]:
        if channel in self._channels:
            del self._channels[channel]
        elif not self._settings.polygon_ack_unheld or channel.partition(".")[0] not in CHANNELS[self._market]:
            return []
        # Sic: "unsubscribed to" is what the live service says.
        return [("success", f"unsubscribed to: {channel}")]

    def _common(self, symbol: str) -> str:
        # The specification has pairs with a slash or without, and C.EUR-USD is in use.
        if self._market == "forex":
            plain = symbol.replace("-", "/")
            return f"{plain[:3]}/{plain[3:]}" if len(plain) == 6 and plain.isalpha() else plain
        return symbol

    def subscriptions(self) -> list[str]:
        """Channels as the client spelled them: T.AAPL."""
        return list(self._channels)

    def symbols(self) -> Iterable[str]:
        """Their symbols, * included."""
        return (symbol for _, _, symbol in self._channels.values())

    def is_subscribed_to(self, topic: Hashable) -> bool:
        """A topic is market, channel and symbol."""
        if topic in self._topics:
            return True
        market, channel, _ = topic if isinstance(topic, tuple) and len(topic) == 3 else ("", "", "")
        return (market, channel, "*") in self._topics

    def has_channel(self, market: str, channel: str) -> bool:
        """For any symbol, or for all."""
        return any(topic[:2] == (market, channel) for topic in self._channels.values())

    def sources(self) -> Iterable[Source]:
        """Sources of trades and quotes, including those that only bars are made of."""
        return [source for topic in self._channels.values() for source in self._events.sources(*topic)]

    def batches(self, count: int) -> Sequence[int]:
        """Mixed sizes, small ones more often: the logarithm is uniform."""
        most, draw = self._settings.batch_max, self._rng.random
        sizes = []
        while count:
            size = min(int((most + 1) ** draw()), most, count)
            sizes.append(size)
            count -= size
        return sizes

    def wrap(self, payloads: Sequence[bytes]) -> bytes:
        """An array of events."""
        return b"[" + b",".join(payloads) + b"]"

    def limit_victim(self) -> Victim:
        """Mostly an old one (rustrade); one probe saw either."""
        victim = self._settings.polygon_cap_victim
        if victim == "either":
            return "old" if self._rng.random() < 0.5 else "new"
        return victim

    def evicted(self) -> Disconnect:
        """A status, and then close code 1008 or none at all: both were seen."""
        frame = _frame(("max_connections", self._settings.polygon_cap_text))
        return Disconnect([frame], 1008 if self._settings.polygon_cap_ending == "1008" else None)

    def too_slow(self) -> Disconnect:
        """Statuses come first (massive 2.9.1); production logs show no close frame."""
        chosen = self._settings.polygon_slow_status
        return Disconnect([_frame(item) for item in _SLOW_TEXTS.items() if chosen in ("both", item[0])], None)


def _frame(*statuses: tuple[str, str]) -> bytes:
    return msgspec.json.encode([{"ev": "status", "status": status, "message": message} for status, message in statuses])
