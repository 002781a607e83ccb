"""What a user may not do is told with the statement that lets it."""

from __future__ import annotations

import psycopg2.errors
import pytest

from ticks_platform.timescale import privileges
from ticks_platform.timescale.database import Database


@pytest.mark.parametrize(
    ("message", "statement"),
    [
        ("permission denied for schema public", 'GRANT USAGE, CREATE ON SCHEMA public TO "me"'),
        ("permission denied for database market", 'GRANT CREATE, TEMPORARY ON DATABASE market TO "me"'),
        ("permission denied for table company", 'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE company TO "me"'),
        ("permission denied for table feed_gap", 'DELETE ON TABLE ticks_platform.feed_gap TO "me"'),
        ("must be owner of table stocks_real_time", 'GRANT owner TO "me"'),
        ("permission denied for function f", "ticks doctor"),
    ],
)
def test_a_message_has_its_statement(message: str, statement: str) -> None:
    error = privileges.explained(psycopg2.errors.InsufficientPrivilege(f"{message}\nLINE 1: SELECT"), "me")
    assert message in str(error)
    assert statement in str(error)
    assert error.pgcode == "42501"
    assert privileges.explained(error, "me") is error


def test_a_transaction_tells_it(database: Database) -> None:
    denial = "DO $$ BEGIN RAISE insufficient_privilege USING MESSAGE = 'permission denied for table company'; END $$"
    for opened in (database.transaction, database.autocommit):
        with pytest.raises(privileges.MissingPrivilegeError, match="GRANT SELECT"), opened() as cursor:
            cursor.execute(denial)
