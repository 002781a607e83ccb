"""Fill a database and journals by running the code of an old commit.

`make_dump` runs this file as a script, once for each of STAGES, with the worktree of the old commit in PYTHONPATH. This
package cannot be imported there, which is why all of it is in one file. Nothing of the platform is imported at the top:
`find` looks up what has moved or was renamed under each of its names. A stage that plays a crash ends with SIGKILL.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

SILENT = {"rate": 0}
KEYS = ("TWELVE_DATA_API_KEY", "POLYGON_API_KEY", "ALPACA_API_KEY", "NATS_PASSWORD", "NATS_TOKEN")
"""The variables that the feeds.yaml with every option names; any value will do, since nothing connects."""

HISTORY = ("kind", "requests_per_minute", "requests_per_day", "delay", "reach_days")
"""The attributes of a connector's History that are compared."""

DAY = 86_400
KILLED = -signal.SIGKILL
_DDL = (
    "CREATE ",
    "ALTER TABLE",
    "ALTER MATERIALIZED VIEW",
    "COMMENT ON",
    "create_hypertable(",
    "add_compression_policy(",
    "add_continuous_aggregate_policy(",
    "add_job(",
    "alter_job(",
)


def find(*places: str) -> Any:
    """The first of these places (`module:name`) that the old code has."""
    for place in places:
        module, _, name = place.partition(":")
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(module), name)
    raise ImportError(f"the old code has none of {', '.join(places)}")


def _wait(what: str, condition: Callable[[], Any], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


# Settings: `describe_feeds` and `describe_policies` are called by the tests too.


def describe_feeds(settings: Any) -> dict[str, Any]:
    """All that the settings of feeds.yaml mean, for a comparison."""
    found = settings.model_dump(mode="json")
    found["feeds"] = {feed["name"]: feed for feed in found["feeds"]}
    for feed in settings.feeds:
        connector = feed.connector(stand_in_url="ws://127.0.0.1:1/stand-in")
        history = feed.history(stand_in_url="ws://127.0.0.1:1/stand-in")
        found["feeds"][feed.name]["meaning"] = {
            "synthetic": feed.synthetic,
            "overlaps": feed.overlaps,
            "follows_reloads": feed.follows_reloads,
            "symbols": list(feed.symbol_names()),
            "as ticks call them": feed.asked_symbols(),
            "calendars": {symbol: calendar.name for symbol, calendar in feed.calendars().items()},
            "channels": [channel for symbol in feed.symbol_names() for channel in connector.channels(symbol)],
            "address": connector.endpoint().public_url,
            "history": None
            if history is None
            else [
                history.kind,
                history.requests_per_minute,
                history.requests_per_day,
                history.delay,
                history.reach_days,
            ],
        }
    return dict(found)


def describe_policies(settings: Any, policies: Any) -> dict[str, Any]:
    """The terms of each policy, for a comparison; None where it is off."""
    terms = {policy.name: settings.terms(policy) for policy in policies}
    return {
        name: found
        and {"schedule_interval": str(found.schedule_interval)}
        | {offset: str(value) for offset, value in found.offsets.items()}
        for name, found in terms.items()
    }


def describe_settings(folder: str) -> None:
    """Write beside each feeds….yaml and policies….yaml of a folder what the old code reads there."""
    load_feeds = find("ticks_platform.feeds.settings:load_settings")
    places = ("ticks_platform.timescale.policies.settings", "ticks_platform.timescale.policy_settings")
    load_policies, policies = (find(*(f"{place}:{name}" for place in places)) for name in ("load_policies", "POLICIES"))
    os.environ.update(dict.fromkeys(KEYS, "a:key"))
    for file in Path(folder).glob("*.yaml"):
        if file.stem.startswith("feeds"):
            settings = load_feeds(file)
            described = describe_feeds(settings)
        else:
            settings = load_policies(file)
            described = describe_policies(settings, policies)
        if file.stem.endswith("full"):
            _check_sets_everything(settings, file.name)
        file.with_suffix(".json").write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n")


def _check_sets_everything(settings: Any, where: str) -> None:
    """Every option of every section has to be set in one place at least, or nobody would notice when it goes."""
    known: dict[str, set[str]] = {}
    used: dict[str, set[str]] = {}

    def look(section: Any) -> None:
        known[type(section).__name__] = set(type(section).model_fields)
        used.setdefault(type(section).__name__, set()).update(section.model_fields_set)
        for name in type(section).model_fields:
            value = getattr(section, name)
            for item in value if isinstance(value, tuple) else (value,):
                if hasattr(item, "model_fields_set"):
                    look(item)

    look(settings)
    left = {name: options - used[name] for name, options in known.items() if options - used[name]}
    if left:
        raise ValueError(f"{where} does not set {left}")


# The stages, and what they share.


class _Platform:
    """The old platform, in the project and on the database that the environment names."""

    def __init__(self) -> None:
        self.database = find("ticks_platform.timescale.database:Database").from_environment()
        self.folder = Path(os.environ["TICKS_STATE_DIR"]) / "journal"
        self._project = Path(os.environ["TICKS_PROJECT_DIR"])

    def feed(self, name: str) -> Any:
        return find("ticks_platform.feeds.settings:load_settings")(self._project / "feeds.yaml").feed(name)

    def run_job(self, name: str, partition: str | None = None, *, may_fail: bool = False) -> None:
        dagster = importlib.import_module("dagster")
        definitions = find("ticks_platform.definitions:defs")()
        with dagster.DagsterInstance.ephemeral() as instance:
            job = definitions.resolve_job_def(name)
            done = job.execute_in_process(instance=instance, partition_key=partition, raise_on_error=not may_fail)
            if not done.success and not may_fail:
                raise RuntimeError(f"the job {name} failed")

    def ingestion(self, feed: Any, stand_in: Any, owner: str, *, follow: bool = False) -> Any:
        make = find("ticks_platform.ingestion.run:Ingestion", "ticks_platform.ingestion.stream:Ingestion")
        return make(
            feed=feed,
            connector=feed.connector(stand_in_url=stand_in.url(feed.provider, key=None)),
            database=self.database,
            owner=owner,
            follow=follow,
        )

    def history(self, feed: Any, stand_in: Any) -> Any:
        return feed.history(stand_in_url=stand_in.url(feed.provider, key=None))

    def repair(self, feed: Any, history: Any, owner: str, *, gaps: bool = True) -> None:
        make = find("ticks_platform.ingestion.repair.repair:Repair", "ticks_platform.ingestion.repair:Repair")
        make(feed=feed, history=history, database=self.database, owner=owner).run(seconds=30, gaps=gaps)

    def close_gaps(self, feed: Any, history: Any) -> None:
        close = find("ticks_platform.ingestion.repair.gaps:close_gaps", "ticks_platform.ingestion.repair_gaps:settle")
        with self.database.transaction() as cursor:
            close(cursor, feed.name, history)

    def execute(self, statement: str) -> None:
        with self.database.transaction() as cursor:
            cursor.execute(statement)

    def one(self, query: str) -> Any:
        with self.database.transaction() as cursor:
            cursor.execute(query)
            (value,) = cursor.fetchone()
            return value

    def waiting(self, path: Path) -> int:
        """Frames in a journal that are not trimmed."""
        with contextlib.closing(sqlite3.connect(path)) as journal:
            return int(journal.execute("SELECT coalesce(sum(frames), 0) FROM frame_group").fetchone()[0])

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Lock the leases meanwhile; in the embedded database, which has one session, that locks everything."""
        connection = self.database.connect()
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE ticks_platform.feed_lease IN ACCESS EXCLUSIVE MODE")
            yield
        connection.rollback()


def _stand_in(**settings: Any) -> Any:
    make = find("ticks_platform.standin:StandIn", "ticks_standin:StandIn")
    options = find("ticks_platform.standin:StandInSettings", "ticks_standin:StandInSettings")
    return make(options(**SILENT, max_connections=9, **settings))


def _die() -> None:
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def _subscribed(stand_in: Any, connection: int, channels: int = 1) -> None:
    """Wait until a connection, by its number in the stand-in's account, has subscribed to at least so many channels."""

    def is_subscribed() -> bool:
        connections = stand_in.account().connections
        return len(connections) >= connection and len(connections[connection - 1].subscribed) >= channels

    _wait(f"connection {connection} is subscribed", is_subscribed)


def _flow(stand_in: Any, ingestion: Any) -> None:
    """Send data for longer than a frame may be in flight, so that there is coverage."""
    before = ingestion.progress().loaded
    for _ in range(4):
        stand_in.send_exactly(5)
        time.sleep(0.2)
    _wait("all is loaded", lambda: ingestion.progress().loaded >= before + 20)


def _tick(stand_in: Any) -> None:
    for _ in range(10):
        stand_in.send_exactly(8)
        time.sleep(0.3)


def _has_ended(ingestion: Any) -> bool:
    try:
        return bool(ingestion.wait(0.01))
    except Exception as error:
        # Its successor opens the journal before this run looks at the lease again.
        if type(error).__name__ != "JournalFencedError":
            raise
        return True


def _taken(ingestion: Any, events: int) -> None:
    """Wait until so many events are loaded or rejected, and none waits in the journal."""

    def is_done() -> bool:
        ingestion.wait(0)
        found = ingestion.progress()
        return not found.waiting_bytes and found.loaded + found.replaced + found.duplicate + found.rejected >= events

    _wait(f"{events} events of {ingestion.feed.name}", is_done)


def _price(symbol: str, at: float, price: float, **fields: Any) -> str:
    event = {"event": "price", "symbol": symbol, "currency": "USD", "type": "Common Stock"}
    return json.dumps({**event, "timestamp": at, "price": price, **fields}, ensure_ascii=False)


def _trade(symbol: str, at: float, price: float, number: int, **fields: Any) -> dict[str, Any]:
    event = {"ev": "T", "sym": symbol, "i": str(number), "x": 4, "p": price, "s": 100, "c": [12, 37], "z": 3}
    return {**event, "t": round(at * 1000), "q": number, **fields}


def _bar(symbol: str, begin: int, close: float, **fields: Any) -> dict[str, Any]:
    event = {"ev": "AM", "sym": symbol, "v": 1200, "av": 90000, "op": close, "vw": close, "o": close - 0.5}
    times = {"s": begin * 1000, "e": (begin + 60) * 1000}
    return {**event, "c": close, "h": close + 0.25, "l": close - 0.75, "a": close, "z": 80, **times, **fields}


def _days() -> list[int]:
    """When the past days with ticks begin, oldest first; the first three are old enough for the columnstore."""
    today = int(time.time()) // DAY * DAY
    return [today - days * DAY for days in (12, 9, 8, 3, 1)]


def make() -> None:
    """All tables, candles and policies in an empty database; the statements that make them are written down."""
    psycopg2: Any = importlib.import_module("psycopg2")
    extensions = importlib.import_module("psycopg2.extensions")
    statements: list[str] = []

    class Noting(extensions.cursor):  # type: ignore[misc, name-defined]
        def execute(self, query: Any, arguments: Any = None) -> None:
            super().execute(query, arguments)
            text = self.query.decode()
            if any(word in text for word in _DDL) and "CREATE TEMP" not in text and "SAVEPOINT" not in text:
                statements.append(text.strip().rstrip(";"))

    connect = psycopg2.connect
    psycopg2.connect = lambda *arguments, **options: connect(*arguments, **{**options, "cursor_factory": Noting})
    _Platform().run_job("bring_up")
    psycopg2.connect = connect
    text = "".join(f"{statement};\n\n" for statement in dict.fromkeys(statements))
    # A job is altered right after it is made, and its number differs between databases.
    text = re.sub(r"\bjob_id = \d+", "job_id = (SELECT max(job_id) FROM timescaledb_information.jobs)", text)
    Path(os.environ["TICKS_STATE_DIR"], "schema.sql").write_text(text, encoding="utf-8")


def stocks() -> None:
    """Valid and invalid ticks of several days; a planned hand-over, a gap, a symbol that is removed; a clean end."""
    platform = _Platform()
    feed = platform.feed("stocks")
    with _stand_in() as stand_in, platform.ingestion(feed, stand_in, "run-1") as first:
        _subscribed(stand_in, 1)
        sent = 0
        for number, day in enumerate(_days()):
            at = day + 14 * 3600 + 30 * 60
            frames = [
                _price(
                    symbol,
                    at + 7 * tick * (1 + tick // 6),
                    price + tick % 5 * 0.01 - number,
                    day_volume=1000 * (tick + 1),
                )
                for tick in range(12)
                for symbol, price in (("AAPL", 231.05), ("MSFT", 512.5))
            ]
            frames += [
                _price("BTC/USD", at + 1 + tick // 4, 87_654.321 + tick, bid=87_654.3 + tick, ask=87_654.4 + tick)
                for tick in range(10)
            ]
            stand_in.inject(*frames)
            sent += len(frames)
        at = _days()[3] + 15 * 3600
        odd = [
            _price("AAPL", at, 0.0001, day_volume=0),
            _price("AAPL", at, 1e15 + 0.5, day_volume=2**62),
            _price("AAPL", at + 0.123456, 231.123456789012),
            _price("BTC/USD", at, -37.63, bid=-37.7, ask=None),
            _price("BTC/USD", at + 3599, 0),
            '{"event":"price","symbol":"AAPL","timestamp":"' + str(at) + '","price":"230.5"}',
            # From here on: events that cannot be ticks.
            _price("AAPL", time.time() + 900, 231),
            _price("AAPL", 600_000_000, 231),
            _price("A\0PL", at, 231),
            '{"event":"price","symbol":"AAPL","timestamp":' + str(at) + ',"price":"NaN"}',
            '{"event":"price","symbol":"AAPL","price":1}',
            "{“event”: not JSON, «é»",
            '{"event":"status","status":"maintenance"}',
        ]
        stand_in.inject(*odd)
        sent += len(odd) - 1
        _taken(first, sent)
        _flow(stand_in, first)
        with platform.ingestion(feed, stand_in, "run-2", follow=True) as second:
            _subscribed(stand_in, 2)
            ticker = threading.Thread(target=_tick, args=(stand_in,))
            ticker.start()
            _wait("run-1 has ended", lambda: _has_ended(first))
            ticker.join()
            _flow(stand_in, second)
            stand_in.drop_connections()
            _subscribed(stand_in, 3)
            _flow(stand_in, second)
            symbols = tuple(item for item in feed.symbols if item.symbol != "MSFT")
            apply_settings = getattr(second, "apply_settings", None) or second.want
            apply_settings(feed.model_copy(update={"symbols": symbols}))
            _wait(
                "MSFT is given up",
                lambda: platform.one(
                    "SELECT count(*) FROM ticks_platform.feed_symbol WHERE symbol = 'MSFT' AND wanted_until IS NOT NULL"
                ),
            )


def tape() -> None:
    """Trades, quotes and bars with corrections; a gap that is repaired, and one whose repair is killed half-way."""
    platform = _Platform()
    feed = platform.feed("tape")
    options = {"history_events": 10_000, "polygon_one_sided_share": 0.3, "traded": frozenset({"T.NVDA", "T.TSLA"})}
    with _stand_in(**options) as stand_in:
        history = platform.history(feed, stand_in)
        with platform.ingestion(feed, stand_in, "run-3") as ingestion:
            _subscribed(stand_in, 1, 6)
            sent = 0
            for day in _days()[:4]:
                at = day + 14 * 3600
                trades = [_trade("NVDA", at + 11 * tick, 180 + tick / 8, tick) for tick in range(8)]
                # An odd lot, an average price and a sold-last trade, at prices that are not the market's.
                for tick, condition in ((20, 37), (21, 2), (22, 52)):
                    trades.append(_trade("NVDA", at + 5 * tick, 100 + tick, tick, c=[condition]))
                off = _trade("TSLA", at, 402.125, 1, x=4, trfi=202, s=0, ds="0.5")
                quote = {"ev": "Q", "sym": "TSLA", "bx": 4, "bp": 402.1, "bs": 2, "ax": 7, "ap": 402.2, "as": 3}
                times = {"t": at * 1000, "q": 1, "z": 3}
                bars = [_bar("NVDA", at, 181), _bar("NVDA", at + 60, 181.5), _bar("TSLA", at, 402, av=None, vw=None)]
                stand_in.inject(json.dumps([*trades, off, {**quote, **times}]), json.dumps(bars))
                # The same trades once more, and a correction of a bar.
                stand_in.inject(json.dumps([*trades[:3], off, _bar("NVDA", at, 181.25, v=1300)]))
                sent += len(trades) + 1 + 1 + len(bars) + 5
            stand_in.inject('[{"ev":"T","sym":"NVDA","p":1},{"ev":"AM","sym":"NVDA","s":5},{"ev":"status"}]')
            _taken(ingestion, sent + 2)
            _flow(stand_in, ingestion)
            for connection, outcome in ((2, "refused"), (3, "repaired"), (4, "killed")):
                began = datetime.now(timezone.utc)
                stand_in.go_away(1)
                stand_in.trade_unheard(12, began + timedelta(seconds=0.2), began + timedelta(seconds=1))
                _subscribed(stand_in, connection, 6)
                _flow(stand_in, ingestion)
                # From then on, all of the gap can be requested.
                time.sleep(2 * history.margin + 1)
                if outcome == "killed":
                    break
                if outcome == "refused":
                    stand_in.fail_requests(status=403, requests=2)
                platform.repair(feed, history, f"repair-{outcome}")
                platform.close_gaps(feed, history)
            # A bar of the minute of the gap, which the view of filled candles shows in place of ticks.
            replaced = ingestion.progress().replaced
            minute = int(began.timestamp()) // 60 * 60
            stand_in.inject(json.dumps([_bar("NVDA", minute, 128), _bar("NVDA", minute, 128.5)]))
            _wait("the bar is loaded", lambda: ingestion.progress().replaced > replaced)
            ingestion.stop()
            # Without its ledger nothing can be loaded, but pages can be fetched.
            platform.execute("ALTER TABLE ticks_platform.feed_ledger RENAME TO feed_ledger_away")
            threading.Thread(target=lambda: platform.repair(feed, history, "repair-killed"), daemon=True).start()
            _wait(
                "all is fetched and not loaded",
                lambda: platform.one(
                    "SELECT bool_or(state = 'fetched') AND NOT bool_or(state = 'wanted') "
                    "FROM ticks_platform.feed_repair WHERE feed = 'tape'"
                ),
            )
            _die()


def coins() -> None:
    """Switched off and on; a gap that cannot be repaired; killed while frames wait for the database."""
    platform = _Platform()
    platform.execute("ALTER TABLE ticks_platform.feed_ledger_away RENAME TO feed_ledger")
    feed = platform.feed("coins")
    with _stand_in(history_events=1_000) as stand_in:
        with platform.ingestion(feed, stand_in, "run-4") as ingestion:
            _subscribed(stand_in, 1)
            _flow(stand_in, ingestion)
            platform.run_job("disable_feed", "coins")
            _wait("it is switched off", lambda: ingestion.wait(0.01))
        platform.run_job("enable_feed", "coins")
        with platform.ingestion(feed, stand_in, "run-5") as ingestion:
            _subscribed(stand_in, 2)
            _flow(stand_in, ingestion)
            stand_in.drop_connections()
            _subscribed(stand_in, 3)
            _flow(stand_in, ingestion)
            history = platform.history(feed, stand_in)
            history.since = time.time()
            _wait(
                "the gap is known",
                lambda: platform.one(
                    "SELECT count(*) FROM ticks_platform.feed_gap "
                    "WHERE feed = 'coins' AND cause = 'disconnected' AND ends_at IS NOT NULL"
                ),
            )
            platform.repair(feed, history, "repair-too-late")
            with platform.away():
                at = int(time.time())
                stand_in.inject(*(_price("ETH/USD", at, 2_950 + tick / 4, day_volume=tick) for tick in range(15)))
                stand_in.inject("[not a frame of this provider]")
                _wait("they are in the journal", lambda: platform.waiting(platform.folder / "coins.sqlite3") >= 16)
                _die()


def export() -> None:
    """The journal of the killed feed is exported and deleted; the feed is switched off."""
    platform = _Platform()
    main = find("ticks_platform.ingestion.__main__:main")
    if main(["export", "coins", str(platform.folder.parent / "exported.sqlite3")]) != 0:
        raise RuntimeError("the export failed")
    for file in platform.folder.glob("coins*.sqlite3*"):
        file.unlink()
    platform.run_job("disable_feed", "coins")


def abroad() -> None:
    """A listing and a symbol in small letters; killed while frames of both wait for the database."""
    platform = _Platform()
    feed = platform.feed("abroad")

    def prices(at: float, many: int) -> list[str]:
        places = (("RY", "TSX", "CAD", 168.9), ("NFLX", "NASDAQ", "USD", 709.6))
        return [
            _price(symbol, at + tick, price + tick / 4, exchange=exchange, currency=currency)
            for tick in range(many)
            for symbol, exchange, currency, price in places
        ]

    with _stand_in() as stand_in, platform.ingestion(feed, stand_in, "run-9") as ingestion:
        _subscribed(stand_in, 1, 2)
        for day in _days():
            stand_in.inject(*prices(day + 15 * 3600, 4))
        _taken(ingestion, 8 * len(_days()))
        _flow(stand_in, ingestion)
        with platform.away():
            stand_in.inject(*prices(int(time.time()), 6))
            _wait("they are in the journal", lambda: platform.waiting(platform.folder / "abroad.sqlite3") >= 12)
            _die()


def keep() -> None:
    """What keeps the database in order has run: candles are up to their ticks, old chunks are in the columnstore."""
    platform = _Platform()
    platform.run_job("catch_up")
    platform.run_job("bring_up")


def prove() -> None:
    """All checks have run twice: hours and candles are proven, and old chunks are sealed."""
    platform = _Platform()
    for job in ("check_quality", "check_every_tick") * 2:
        platform.run_job(job, may_fail=True)


def crash() -> None:
    """Late ticks, also in the columnstore; then a planned hand-over that both of its runs do not survive."""
    platform = _Platform()
    feed = platform.feed("stocks")
    with _stand_in() as stand_in, platform.ingestion(feed, stand_in, "run-6") as first:
        _subscribed(stand_in, 1)
        late = [_price("AAPL", day + 14 * 3600 + 40 * 60, 229.5 + day % 7) for day in _days()]
        stand_in.inject(*late)
        _taken(first, len(late))
        _flow(stand_in, first)
        files = (platform.folder / "stocks.sqlite3", platform.folder / "stocks.2.sqlite3")
        own = next(path for path in files if _is_open(platform, path))
        (other,) = (path for path in files if path != own)
        with platform.ingestion(feed, stand_in, "run-7", follow=True):
            _subscribed(stand_in, 2)
            with platform.away():
                waiting = {path: platform.waiting(path) for path in files}
                at = int(time.time())
                stand_in.inject(*(_price("AAPL", at, 231.5 + tick / 4, day_volume=5000 + tick) for tick in range(8)))
                stand_in.inject(_price("AAPL", at + 3600, 1), "neither JSON nor anything else")
                _wait("both have it", lambda: all(platform.waiting(path) >= waiting[path] + 10 for path in files))
                stand_in.drop_connections(1)
                stand_in.inject(*(_price("BTC/USD", at, 87_000 + tick) for tick in range(3)))
                _wait("one has it", lambda: platform.waiting(other) >= waiting[other] + 13)
                _subscribed(stand_in, 3)
                stand_in.inject(*(_price("BTC/USD", at + 1, 87_010 + tick) for tick in range(6)))
                _wait(
                    "both have more",
                    lambda: (
                        platform.waiting(own) >= waiting[own] + 16 and platform.waiting(other) >= waiting[other] + 19
                    ),
                )
                _die()


def _is_open(platform: _Platform, path: Path) -> bool:
    if not path.exists():
        return False
    with contextlib.closing(sqlite3.connect(path)) as journal:
        (journal_id,) = journal.execute("SELECT journal_id FROM journal").fetchone()
    return bool(platform.one(f"SELECT count(*) FROM ticks_platform.feed_lease WHERE journal_id = '{journal_id}'"))


def start() -> None:
    """What every start does."""
    _Platform().run_job("bring_up")


def go_on() -> None:
    """What waits in journals is loaded: of the feeds, of repairs, and of an exported file."""
    platform = _Platform()
    with _stand_in() as stand_in:
        feed = platform.feed("stocks")
        with platform.ingestion(feed, stand_in, "run-8") as ingestion:
            _wait("all is loaded", lambda: _is_done(ingestion), 60)
        with platform.ingestion(platform.feed("abroad"), stand_in, "run-10") as ingestion:
            _wait("all of abroad is loaded", lambda: _is_done(ingestion), 60)
        feed = platform.feed("tape")
        platform.repair(feed, platform.history(feed, stand_in), "repair-continued", gaps=False)
    main = find("ticks_platform.ingestion.__main__:main")
    if main(["replay", str(platform.folder.parent / "exported.sqlite3")]) != 0:
        raise RuntimeError("the replay failed")


def _is_done(ingestion: Any) -> bool:
    ingestion.wait(0)
    found = ingestion.progress()
    # Its own answers to the subscription come last.
    return bool(found.control and not found.waiting_bytes)


STAGES = {
    "make": (make, 0),
    "stocks": (stocks, 0),
    "tape": (tape, KILLED),
    "coins": (coins, KILLED),
    "export": (export, 0),
    "abroad": (abroad, KILLED),
    "keep": (keep, 0),
    "prove": (prove, 0),
    "crash": (crash, KILLED),
    "start": (start, 0),
    "go_on": (go_on, 0),
}
"""What each one is called, does, and how its process ends."""

if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    if name == "settings":
        describe_settings(*rest)
    else:
        STAGES[name][0]()
