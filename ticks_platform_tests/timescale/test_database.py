"""Reaching the database, and not giving its password away."""

from __future__ import annotations

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


def test_a_password_with_special_characters_can_be_encoded() -> None:
    with pytest.raises(DatabaseUnavailableError, match="Connection refused"):
        Database("postgresql://user:se%40cr%2Fet@127.0.0.1:1/name").connect()
