-- A checkpoint for a journal that this database has never seen. An empty journal begins after the feed's other journals, so that
-- ticks with the same time stamp still sort by arrival.
-- Its number is the next one, then one that was never given (a sequence would use up one in each transaction that fails). When all
-- are given, an empty journal gets that of the feed's journal that was committed to longest ago, a month at least, and in which nothing waits,
-- and begins after all positions of it: so the two never make the same tick_id. The account keeps the frames of both.
WITH other AS MATERIALIZED (
    SELECT
        journal_number,
        journal_id,
        position,
        frames,
        committed_at,
        lost_at IS NULL AND (is_open OR heard_frames > frames_before + frames) AS may_wait
    FROM ticks_platform.feed_checkpoint
    WHERE feed = %(feed)s
),
never_given AS MATERIALIZED (
    SELECT coalesce(
        (SELECT max(journal_number) + 1 FROM ticks_platform.feed_checkpoint HAVING coalesce(max(journal_number), 0) < 65535),
        (
            SELECT min(number)
            FROM (
                SELECT generate_series(1, 65535) AS number
                EXCEPT
                SELECT journal_number FROM ticks_platform.feed_checkpoint
            ) AS missing
        ),
        1
    ) AS number
    WHERE (SELECT count(*) FROM ticks_platform.feed_checkpoint) < 65535
),
recycled AS (
    DELETE FROM ticks_platform.feed_checkpoint
    WHERE NOT EXISTS (SELECT FROM never_given) AND %(start)s::bigint IS NULL AND journal_number = (
        SELECT journal_number
        FROM other
        WHERE committed_at < now() - INTERVAL '1 month' AND may_wait IS NOT TRUE
            AND journal_id IS DISTINCT FROM (SELECT lease.journal_id FROM ticks_platform.feed_lease AS lease WHERE lease.feed = %(feed)s)
        ORDER BY committed_at
        LIMIT 1
    )
    RETURNING journal_number, frames
)
INSERT INTO ticks_platform.feed_checkpoint (journal_number, feed, journal_id, position, frames, frames_before, committed_at)
OVERRIDING SYSTEM VALUE
SELECT
    given.number,
    %(feed)s,
    %(journal_id)s,
    coalesce(%(start)s, (SELECT max(position) FROM other), 0),
    given.frames,
    %(frames)s - given.frames,
    clock_timestamp()
FROM (
    SELECT number, 0::bigint AS frames FROM never_given
    UNION ALL
    SELECT journal_number, frames FROM recycled
) AS given
RETURNING journal_number, position, frames_before + frames;
