"""What is copied, in which order, by whom, and what is deleted again. Real servers."""

from __future__ import annotations

import time

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.ingestion.journal_copy import messages
from ticks_platform_tests.ingestion.journal_copy.conftest import (
    MakeJournal,
    MakeShipper,
    append,
    await_shipped,
    read,
    stored,
)
from ticks_platform_tests.support.nats_servers import await_that


def test_what_is_read_back_is_what_was_appended(
    copy_settings: JetStreamSettings, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    journal = make_journal()
    append(journal, "a", "", "bc")
    shipper = ship(copy_settings, journal)
    for number in range(50):
        append(journal, f"frame {number}" * (number + 1))
    # Larger than a bundle.
    append(journal, "x" * (700 << 10))
    await_shipped(shipper)
    assert read(copy_settings, journal, journal.end) == list(journal.peek())


def test_a_group_that_is_larger_than_a_message_comes_in_parts(
    copy_settings: JetStreamSettings, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    journal = make_journal()
    append(journal, "before")
    journal.append([Frame(bytes([number]) * (600 << 10), time.time_ns(), 1) for number in range(6)], epoch=1)
    append(journal, "after")
    await_shipped(ship(copy_settings, journal))
    assert [each.headers[messages.PART] for each in stored(copy_settings, journal)] == [
        "1/1",
        *(f"{number}/4" for number in range(1, 5)),
        "1/1",
    ]
    assert read(copy_settings, journal, journal.end) == list(journal.peek())


def test_what_is_committed_is_not_copied_and_deleted_from_the_stream(
    copy_settings: JetStreamSettings, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    journal = make_journal()
    append(journal, "committed before")
    journal.take(max_bytes=1, linger=0, wait=1)
    journal.trim(journal.end)
    begin = journal.end
    shipper = ship(copy_settings, journal)
    for number in range(5):
        append(journal, f"frame {number}")
        await_shipped(shipper)
    found = stored(copy_settings, journal)
    assert messages.number(found[0].headers, messages.POSITION) == begin
    assert len(found) == 5
    journal.trim(journal.end)
    # The last one tells how far the copy goes.
    await_that(lambda: len(stored(copy_settings, journal)) == 1, "all but the last message is deleted")
    assert messages.number(stored(copy_settings, journal)[0].headers, messages.END) == journal.end


def test_the_number_that_is_not_copied_is_right_to_the_byte(
    copy_settings: JetStreamSettings, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    journal = make_journal()
    append(journal, "copied")
    away = copy_settings.model_copy(update={"servers": ("nats://127.0.0.1:1",)})
    shipper = ship(away, journal)
    append(journal, "xyz", "12")
    assert shipper.unshipped().bytes == 11
    await_that(lambda: "127.0.0.1:1" in (shipper.unshipped().trouble or ""), "it says why")
    await_that(lambda: shipper.unshipped().seconds > 0.2, "its age grows")
    journal.trim(6)
    assert shipper.unshipped().bytes == 5
    journal.trim(11)
    assert shipper.unshipped()[:2] == (0, 0.0)


def test_a_new_owner_shuts_the_old_one_out(
    copy_settings: JetStreamSettings, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    old, new = make_journal("one"), make_journal("other")
    append(old, "of the old one")
    first = ship(copy_settings, old, epoch=1)
    await_shipped(first)
    copied = old.end
    append(new, "of the new one", epoch=2)
    second = ship(copy_settings, new, epoch=2)
    marked = second.wait_marked(60)
    assert marked is not None
    assert marked.ends == {old.journal_id: copied}
    append(old, "too late")
    await_that(lambda: "another owner" in (first.unshipped().trouble or ""), "it is shut out")
    await_shipped(second)
    assert first.unshipped().bytes == len("too late")
    assert read(copy_settings, old, copied) == list(old.peek())[:1]
    assert read(copy_settings, new, new.end) == list(new.peek())
    # An owner of an earlier epoch that comes later does not get in either.
    late = ship(copy_settings, old, epoch=1)
    await_that(lambda: "epoch 2" in (late.unshipped().trouble or ""), "it is told of the newer owner")
    assert late.wait_marked(60) is None
    append(new, "goes on", epoch=2)
    await_shipped(second)


def test_the_next_owner_of_the_same_journal_goes_on_where_the_copy_ends(
    copy_settings: JetStreamSettings, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    journal = make_journal()
    append(journal, "first")
    shipper = ship(copy_settings, journal, epoch=1)
    await_shipped(shipper)
    shipper.stop()
    append(journal, "second", epoch=2)
    await_shipped(ship(copy_settings, journal, epoch=2))
    assert [group.frames for group in read(copy_settings, journal, journal.end)] == [[b"first"], [b"second"]]
    assert len(stored(copy_settings, journal)) == 2
