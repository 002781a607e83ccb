-- Announces that the journal of a new owner is compared with what its predecessor copied, before it is loaded: until the predecessor was
-- shut out of the stream, both may have received. Recorded like a hand-over that the predecessor knows nothing of, so that it is decided
-- once; not if the journal came back itself, and is compared with all others.
INSERT INTO ticks_platform.feed_handover
    (feed, epoch, successor, journal_id, predecessor, predecessor_epoch, predecessor_journal, begun_at, taken_at)
SELECT
    %(feed)s, %(epoch)s, %(owner)s, %(journal)s, 'copied', %(predecessor_epoch)s, %(predecessor_journal)s, clock_timestamp(), %(shut_out)s
WHERE NOT EXISTS (
    SELECT FROM ticks_platform.feed_handover WHERE journal_id = %(journal)s AND left_out_positions IS NULL
)
ON CONFLICT (feed, epoch) DO NOTHING;
