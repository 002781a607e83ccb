-- The job of the notes' retention: deletes what the platform has noted of its feeds once it is older than the interval of its kind in
-- config. What has no interval stays. The account still balances, since deleted rejected events are counted in feed.rejected_deleted.
-- Hours in feed_hour stay: those of dropped chunks are what keeps a late tick from replacing the candles that outlived them.
CREATE OR REPLACE PROCEDURE ticks_platform.delete_old_notes(job_id integer, config jsonb)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    -- NULL where nothing is deleted.
    sessions timestamptz := now() - (config ->> 'feed_session')::interval;
    gaps timestamptz := now() - (config ->> 'settled_gaps')::interval;
    repairs timestamptz := now() - (config ->> 'finished_repairs')::interval;
    rejected timestamptz := now() - (config ->> 'rejected_events')::interval;
BEGIN
    -- The newest of each feed stay however old they are: they say how it is.
    DELETE FROM ticks_platform.feed_session AS session
    USING (
        SELECT feed.feed, (
            SELECT at FROM ticks_platform.feed_session AS newest
            WHERE newest.feed = feed.feed ORDER BY at DESC OFFSET 199 LIMIT 1
        ) AS since
        FROM ticks_platform.feed AS feed
    ) AS kept
    WHERE session.feed = kept.feed AND session.at < kept.since AND session.at < sessions;

    -- While there are bars in a gap, one_minute_candle_filled shows them because of it.
    DELETE FROM ticks_platform.feed_gap AS gap
    WHERE state <> 'open' AND ends_at < gaps AND (state = 'ignored' OR NOT EXISTS (
        SELECT FROM stock_aggregates AS bars
        WHERE bars.feed = gap.feed AND bars.symbol = gap.symbol
            AND bars.start_time > gap.begins_at - INTERVAL '1 minute' AND bars.start_time < gap.ends_at
    ));

    -- A gap that was repaired with trades is known as such by its repair.
    DELETE FROM ticks_platform.feed_repair AS repair
    WHERE state IN ('done', 'failed') AND ends_at < repairs AND changed_at < repairs
        AND NOT EXISTS (
            SELECT FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = repair.feed AND gap.symbol = repair.symbol
                AND coalesce(gap.ends_at, 'infinity') > repair.begins_at AND gap.begins_at < repair.ends_at
        )
        AND NOT EXISTS (SELECT FROM ticks_platform.feed_repair_request AS request WHERE request.repair_id = repair.repair_id);

    WITH deleted AS (DELETE FROM ticks_platform.rejected_event WHERE received_at < rejected RETURNING feed)
    UPDATE ticks_platform.feed AS known SET rejected_deleted = rejected_deleted + number
    FROM (SELECT feed, count(*) AS number FROM deleted GROUP BY feed) AS counted
    WHERE known.feed = counted.feed;
END
$$;
