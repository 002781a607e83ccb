"""Reaching the database, and not giving its password away."""

from __future__ import annotations

import itertools

import pytest

from ticks_platform.timescale.database import Database, DatabaseUnavailableError


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:se@cret@127.0.0.1:1/name",
        "postgresql://user:se/cret@127.0.0.1:1/name",
        "postgresql://user:se?cret@127.0.0.1:1/name",
        "postgresql://user:se#cret@127.0.0.1:1/name",
        "postgresql://user:secret@127.0.0.1:1/name",
        "postgresql://user:secret@127.0.0.1:port/name",
        "postgresql://user:secret@127.0.0.1:1/name?nonsense=1",
        "postgresql+psycopg2://user:secret@127.0.0.1:1/name",
        "nonsense:secret",
    ],
)
def test_no_message_repeats_the_password(url: str) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        Database(url).connect()
    assert "cret" not in str(caught.value)


_NUMBERS = itertools.count()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:secret@db:5432/ticks", "postgresql://user:***@db:5432/ticks"),
        ("postgresql+psycopg2://user:secret@db/ticks", "postgresql://user:***@db/ticks"),
        ("postgresql://user:sec%2Fret@[::1]:5432/ticks", "postgresql://user:***@[::1]:5432/ticks"),
        ("postgresql://user:s@cret@one:1,two:2/ticks", "postgresql://user:***@one:1,two:2/ticks"),
        ("postgresql://user@db/ticks?sslmode=require", "postgresql://user@db/ticks?sslmode=require"),
        ("postgresql:///ticks?host=/run/db&password=secret", "postgresql:///ticks?host=/run/db&password=***"),
        ("postgresql://db", "postgresql://db"),
        *(
            (url, "the database of TICKS_DATABASE_URL")
            for url in (
                "nonsense:secret",
                "secret",
                "postgresql://user:secret",
                "postgresql://user:se/cr@et@db/ticks",
                "postgresql://user:se/cret@db/ticks",
                "postgresql://user:sec?r/et@db/ticks",
            )
        ),
    ],
    ids=lambda _value: str(
        next(_NUMBERS)
    ),  # pytest tells the environment the name of a test, and a URL in it has a secret
)
def test_a_database_is_called_by_its_url_without_the_password(url: str, shown: str) -> None:
    assert Database(url).description == shown


def test_a_password_with_special_characters_can_be_encoded() -> None:
    with pytest.raises(DatabaseUnavailableError, match="Connection refused"):
        Database("postgresql://user:se%40cr%2Fet@127.0.0.1:1/name").connect()
