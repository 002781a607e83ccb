-- Where a journal is, and how far it goes, as its owner tells. It is not lost then.
UPDATE ticks_platform.feed_checkpoint
SET
    host = %(host)s,
    machine = %(machine)s,
    file = %(file)s,
    heard_at = clock_timestamp(),
    heard_from = %(from)s,
    heard_to = %(to)s,
    heard_frames = %(frames)s,
    is_open = %(is_open)s,
    lost_at = NULL,
    lost_by = NULL,
    lost_reason = NULL
WHERE journal_id = %(journal_id)s;
