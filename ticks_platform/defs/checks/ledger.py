"""Checks of the account: they read the journals on this machine as well as the database."""

from datetime import timedelta
from pathlib import Path

import dagster as dg

from ticks_platform.defs.checks.check import ERROR, WARN, Subject, Verdict
from ticks_platform.defs.common.examples import Metadata, examples
from ticks_platform.defs.gaps.proof import FRESH
from ticks_platform.ingestion import audit, heard_journals
from ticks_platform.ingestion.repair.page_journal import repair_journal_folder
from ticks_platform.paths import journal_path
from ticks_platform.quantities import counted
from ticks_platform.timescale import seals

_DAILY = 100_000_000
"""Ticks of which the fingerprint is computed each day where it is not known: half a minute to a minute."""


def ledger_balances(subject: Subject) -> Verdict:
    """Every event is accounted for, in the ledger, by hour and in the journals."""
    feeds = [feed.name for feed in subject.settings.feeds]
    with subject.database.autocommit() as cursor:
        accounts = audit.accounts(cursor)
        fresh = FRESH if subject.by_schedule else timedelta(0)
        hours = audit.hours(cursor, fresh=fresh, patience=subject.by_schedule)
        audit.fill_fingerprints(cursor)
        seals.follow(cursor)
        proof = audit.proof(cursor)
        journals = audit.journal_folder(cursor, _journals(), feeds)
        journals = journals.joined(audit.journal_folder(cursor, repair_journal_folder(), feeds))
        elsewhere = heard_journals.elsewhere(cursor, audit.journal_ids(_journals(), repair_journal_folder()))
    problems = [problem for account in accounts for problem in account.problems()]
    problems += hours.problems()
    problems += [problem for account in journals.accounts for problem in account.problems()]
    problems += [problem for orphan in journals.orphans for problem in orphan.problems()]
    problems += journals.unreadable
    left = {each: problem for each in elsewhere if (problem := each.problem()) is not None}
    problems += [problem for each, problem in left.items() if each.frames]
    # Nobody knows whether frames wait in these.
    notices = journals.notices() + [problem for each, problem in left.items() if not each.frames]
    return Verdict(
        passed=not problems and not notices,
        severity=ERROR if problems else WARN,
        description="; ".join([*problems, *notices]) or f"every event is accounted for; {proof.words()}",
        metadata={
            "events": dg.MetadataValue.int(sum(account.events for account in accounts)),
            "loaded": dg.MetadataValue.int(sum(account.loaded for account in accounts)),
            "rejected": dg.MetadataValue.int(sum(account.rejected for account in accounts)),
            **_hours_metadata(hours, proof),
            **examples((account._asdict() for account in accounts), "ledger"),
            **examples((account._asdict() for account in journals.accounts), "journals"),
            **examples((_shown(each) for each in elsewhere), "journals elsewhere"),
        },
    )


def every_tick_is_there(subject: Subject) -> Verdict:
    """As many ticks are stored as were loaded, and they are the same; the comparison is that of the ledger."""
    with subject.database.autocommit() as cursor:
        unsealed = seals.check(cursor)
        hours = audit.hours(cursor, everything=True)
        audit.fill_fingerprints(cursor, budget=_DAILY)
        seals.stamp(cursor, unsealed)
        # A thirtieth of all, which is of sealed chunks: others were read just now.
        again = audit.hours(cursor, oldest=True, budget=0)
        proof = audit.proof(cursor)
        sealed = seals.count(cursor)
    problems = dict.fromkeys([*hours.problems(), *again.problems()])
    return Verdict(
        passed=not problems,
        description="; ".join(problems)
        or f"all {counted(hours.stored, 'tick')} of {counted(hours.compared, 'hour')} are there; {proof.words()}",
        metadata={
            **_hours_metadata(hours, proof),
            "proven again": dg.MetadataValue.int(again.stored),
            "sealed chunks": dg.MetadataValue.int(sealed),
        },
    )


def journal_has_room(subject: Subject) -> Verdict:
    """No journal on this machine fills up."""
    budgets = {feed.name: feed.journal.max_megabytes << 20 for feed in subject.settings.feeds}
    with subject.database.autocommit() as cursor:
        journals = audit.journal_folder(cursor, _journals(), budgets)
    shares: dict[str, float] = {}
    for account in journals.accounts:
        # While a feed is handed over it has two.
        share = account.waiting_bytes / budgets[account.feed]
        shares[account.feed] = max(share, shares.get(account.feed, 0.0))
    filling = [f"{feed}: {share:.0%}" for feed, share in shares.items() if share > 0.5]
    problems = []
    if filling:
        problems.append(
            f"{', '.join(filling)} of its budget waits: see whether the database keeps up (its log, its disk, its "
            "load), or raise the feed's journal.max_megabytes"
        )
    problems += [problem for orphan in journals.orphans for problem in orphan.problems()]
    problems += journals.unreadable
    metadata: Metadata = {feed: dg.MetadataValue.float(round(share, 4)) for feed, share in shares.items()}
    for orphan in journals.orphans:
        metadata[f"bytes in {orphan.path.name}"] = dg.MetadataValue.int(orphan.waiting_bytes)
    return Verdict(
        passed=not problems,
        severity=ERROR if any(share >= 1 for share in shares.values()) else WARN,
        description="; ".join(problems) or "journals have room",
        metadata=metadata,
    )


def _shown(journal: heard_journals.Elsewhere) -> dict[str, object]:
    return {**journal._asdict(), "heard_at": f"{journal.heard_at:%Y-%m-%d %H:%M:%S} UTC"}


def _journals() -> Path:
    return journal_path("any").parent


def _hours_metadata(hours: audit.Hours, proof: audit.Proof) -> Metadata:
    return {
        "hours proven": dg.MetadataValue.int(proof.proven),
        "hours not proven": dg.MetadataValue.int(proof.hours - proof.proven),
        **({} if proof.until is None else {"proven until": dg.MetadataValue.timestamp(proof.until)}),
        **({} if proof.oldest is None else {"oldest proof": dg.MetadataValue.timestamp(proof.oldest)}),
        "hours compared": dg.MetadataValue.int(hours.compared),
        "rows in those hours": dg.MetadataValue.int(hours.stored),
        "rows by hand": dg.MetadataValue.int(hours.by_hand),
        "hours that differ": dg.MetadataValue.int(hours.differing),
        **examples(hours.examples),
    }
