-- A file of a journal was loaded to its end: nothing more waits in it, unless the journal is known to go on. As another feed's, its
-- frames are in the account of that feed.
UPDATE ticks_platform.feed_checkpoint
SET
    is_open = false,
    lost_at = CASE WHEN feed <> %(feed)s THEN clock_timestamp() END,
    lost_by = CASE WHEN feed <> %(feed)s THEN 'replay' END,
    lost_reason = CASE WHEN feed <> %(feed)s THEN format('loaded as feed %%s', %(feed)s) END
WHERE journal_id = %(journal_id)s AND heard_to <= %(end)s;
