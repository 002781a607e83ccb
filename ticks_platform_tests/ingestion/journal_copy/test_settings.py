"""The section journal.copy of feeds.yaml, and servers that are not as they must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.feeds.settings import SettingsError, load_settings
from ticks_platform_tests.ingestion.journal_copy.conftest import (
    MakeJournal,
    MakeShipper,
    append,
    await_shipped,
    on_connection,
    refused,
)
from ticks_platform_tests.support.nats_servers import NatsServers, nats_servers

GOOD: dict[str, Any] = {"servers": ["nats://one:4222", "tls://two:4222"], "monitoring": ["http://one:8222"]}


def load(folder: Path, *sections: dict[str, Any]) -> Any:
    feeds = {
        f"feed{number}": {
            "provider": "twelve_data",
            "endpoint": "stand-in",
            "symbols": [f"SYM{number}"],
            "journal": {"copy": {"jetstream": section}},
        }
        for number, section in enumerate(sections, start=1)
    }
    file = folder / "feeds.yaml"
    file.write_text(yaml.safe_dump({"feeds": feeds}), encoding="utf-8")
    return load_settings(file)


def test_the_defaults_are_three_replicas_and_a_stream_per_feed(tmp_path: Path) -> None:
    for feed in load(tmp_path, GOOD, GOOD).feeds:
        copy = feed.journal.copy_to.jetstream
        assert (copy.replicas, copy.stream_of(feed.name)) == (3, f"ticks_{feed.name}")
        assert feed.only_symbols_differ(feed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"replicas": 1}, "replicas must be 3 or 5, not 1: with fewer, the copy is lost with one machine"),
        ({"replicas": 4}, "must be an odd number"),
        ({"servers": []}, "servers"),
        ({"servers": ["nats://me:secret@one:4222"]}, "must not contain a secret: give user and password_env"),
        ({"servers": ["one:4222"]}, "must be URLs of the form nats://host:port or tls://host:port"),
        ({"servers": ["nats://one:4222", "nats://one:4222"]}, "must not name a server twice"),
        ({"monitoring": "no"}, "must be a list of URLs, or 'unchecked'"),
        ({"monitoring": ["nats://one:4222"]}, "must be URLs of the form http://host:port"),
        ({"user": "me"}, "user and password_env must be given together"),
        ({"user": "me", "password_env": "P", "token_env": "T"}, "not both"),
        ({"password_env": "hunter2"}, "must be the name of an environment variable"),
        ({"tls": {"key_file": "key.pem"}}, "certificate_file and key_file must be given together"),
        ({"max_megabytes": 1}, "max_megabytes"),
        ({"sterver": 1}, "did you mean 'servers'?"),
        ({"stream": "a.b"}, "stream"),
    ],
)
def test_what_is_wrong_is_refused_in_words(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=r"feeds\.feed1\.journal\.copy\.jetstream") as refused:
        load(tmp_path, {**GOOD, **change})
    assert words in str(refused.value)
    assert "secret@" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_an_option_that_is_misspelled_is_suggested(tmp_path: Path) -> None:
    file = tmp_path / "feeds.yaml"
    feed = {"provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL"], "journal": {"coppy": {}}}
    file.write_text(yaml.safe_dump({"feeds": {"stocks": feed}}), encoding="utf-8")
    with pytest.raises(SettingsError, match="did you mean 'copy'"):
        load_settings(file)


def test_two_feeds_cannot_have_one_stream(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="feeds feed1 and feed2 must not copy their journals to one stream, same"):
        load(tmp_path, {**GOOD, "stream": "same"}, {**GOOD, "stream": "same"})


@pytest.mark.full
def test_servers_that_sync_now_and_then_are_refused(
    tmp_path: Path, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    """A server alone serves where its settings say that it is for tests, if it syncs."""
    settings = {"replicas": 1, "for_tests": True}
    with nats_servers(tmp_path / "lazy", names=["n1"], sync='"2m"') as lazy:
        words = "syncs to its disk every 120 s: a power failure loses what it has acknowledged since"
        refused(lazy.settings(**settings), words, make_journal, ship)
        silent = {**lazy.settings(**settings), "monitoring": ["http://127.0.0.1:1"]}
        refused(silent, "no server's monitoring tells whether it syncs", make_journal, ship)
        append(make_journal("other"), "frame")
        unchecked = {**lazy.settings(**settings), "monitoring": "unchecked"}
        await_shipped(ship(JetStreamSettings.model_validate(unchecked), make_journal("third"), epoch=2))
    with nats_servers(tmp_path / "alone", names=["n1"]) as alone:
        await_shipped(ship(JetStreamSettings.model_validate(alone.settings(**settings)), make_journal("fourth")))


@pytest.mark.full
def test_a_password_is_asked_for_and_never_told(
    tmp_path: Path, make_journal: MakeJournal, ship: MakeShipper, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"replicas": 1, "for_tests": True, "user": "ticks", "password_env": "TEST_NATS_SIGN_IN"}
    sign_in = 'authorization { user: ticks, password: "correct-horse-battery" }'
    with nats_servers(tmp_path / "closed", names=["n1"], more=sign_in) as closed:
        refused(closed.settings(**settings), "TEST_NATS_SIGN_IN is not set", make_journal, ship)
        monkeypatch.setenv("TEST_NATS_SIGN_IN", "wrong-horse-battery")
        refused(closed.settings(**settings), "refuses the sign-in", make_journal, ship)
        monkeypatch.setenv("TEST_NATS_SIGN_IN", "correct-horse-battery")
        shipper = ship(JetStreamSettings.model_validate(closed.settings(**settings)), make_journal("other"))
        await_shipped(shipper)


@pytest.mark.full
def test_a_stream_that_somebody_made_otherwise_is_refused(
    servers: NatsServers, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    for number, (change, words) in enumerate(
        [
            ({"num_replicas": 1}, "is on 1 servers, and must be on 3"),
            ({"discard": "old"}, "has discard 'old', and must have 'new'"),
            ({"max_age": 10**12}, "has max_age"),
            ({"subjects": ["other.>"]}, "has other subjects"),
        ]
    ):
        stream = f"made-{number}"
        config = {
            "name": stream,
            "subjects": [f"{stream}.>"],
            "retention": "limits",
            "storage": "file",
            "num_replicas": 3,
            "discard": "new",
            "max_bytes": 1 << 26,
            "allow_direct": True,
            **change,
        }
        settings = JetStreamSettings.model_validate(servers.settings(stream=stream))
        on_connection(
            settings, lambda connection, config=config, stream=stream: connection.api(f"STREAM.CREATE.{stream}", config)
        )
        refused(servers.settings(stream=stream), words, lambda _="", n=number: make_journal(f"m{n}"), ship)
