-- For each feed: everything that had reached a journal by `until` is loaded, as far as the owners of the journals have told; NULL while something
-- waits. `is_settled` tells that no journal but that of the living owner may have more to load.
CREATE OR REPLACE VIEW ticks_platform.loaded_until AS
SELECT
    feed,
    CASE
        WHEN bool_or(waits) OR coalesce(bool_or(is_untold), false) THEN NULL
        ELSE coalesce(min(heard_at) FILTER (WHERE is_open), now())
    END AS until,
    NOT coalesce(bool_or((waits OR is_open) AND NOT is_owned), false) AS is_settled,
    coalesce(bool_or(is_open), false) AS is_open
FROM (
    SELECT
        feed.feed,
        heard_at,
        coalesce(lost_at IS NULL AND heard_frames > frames_before + frames, false) AS waits,
        coalesce(lost_at IS NULL AND heard_at IS NOT NULL AND is_open, false) AS is_open,
        coalesce(journal.journal_id = lease.journal_id AND heartbeat_at > now() - INTERVAL '30 seconds', false) AS is_owned,
        -- The owner's journal, of which it has not told yet.
        journal.journal_id = lease.journal_id AND heard_at IS NULL AS is_untold
    FROM ticks_platform.feed
    LEFT JOIN ticks_platform.feed_checkpoint AS journal USING (feed)
    LEFT JOIN (SELECT * FROM ticks_platform.feed_lease WHERE released_at IS NULL) AS lease USING (feed)
) AS journals
GROUP BY feed;

COMMENT ON VIEW ticks_platform.loaded_until IS 'Until when everything that a feed has received is loaded.';
COMMENT ON COLUMN ticks_platform.loaded_until.feed IS 'As named in feeds.yaml.';
COMMENT ON COLUMN ticks_platform.loaded_until.until IS 'Everything that had reached a journal by then is loaded; empty while something waits.';
COMMENT ON COLUMN ticks_platform.loaded_until.is_settled IS 'Whether no other journal than that of the living owner may have more to load.';
COMMENT ON COLUMN ticks_platform.loaded_until.is_open IS 'Whether a journal of it may grow.';
