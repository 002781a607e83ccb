-- The ledger of each feed beside the other accounts of it, all as of one moment. Rows by hand have no ledger.
WITH account AS (
    SELECT feed, sum(frames) AS frames, sum(events) AS events, sum(loaded) AS loaded, sum(replaced) AS replaced, sum(duplicate) AS duplicate,
        sum(rejected) AS rejected, sum(control) AS control
    FROM ticks_platform.feed_ledger
    GROUP BY feed
),
by_hour AS (SELECT feed, sum(loaded) AS loaded FROM ticks_platform.feed_hour WHERE feed <> 'manual' GROUP BY feed),
-- What retention has deleted was set aside too.
set_aside AS (
    SELECT feed, rejected_deleted + (SELECT count(*) FROM ticks_platform.rejected_event AS rejected WHERE rejected.feed = known.feed) AS events
    FROM ticks_platform.feed AS known
),
committed AS (SELECT feed, sum(frames) AS frames FROM ticks_platform.feed_checkpoint GROUP BY feed)
SELECT
    feed,
    coalesce(account.frames, 0)::bigint AS frames,
    coalesce(account.events, 0)::bigint AS events,
    coalesce(account.loaded, 0)::bigint AS loaded,
    coalesce(account.replaced, 0)::bigint AS replaced,
    coalesce(account.duplicate, 0)::bigint AS duplicate,
    coalesce(account.rejected, 0)::bigint AS rejected,
    coalesce(account.control, 0)::bigint AS control,
    coalesce(by_hour.loaded, 0)::bigint AS loaded_by_hour,
    coalesce(set_aside.events, 0) AS events_set_aside,
    coalesce(committed.frames, 0)::bigint AS frames_committed
FROM account
FULL JOIN by_hour USING (feed)
LEFT JOIN set_aside USING (feed)
LEFT JOIN committed USING (feed)
ORDER BY feed;
