-- Records the result of a symbol, and marks its ranges.
WITH result AS (
    UPDATE ticks_platform.feed_true_up AS day
    SET
        state = %(state)s,
        compared = coalesce(%(compared)s, compared),
        differed = coalesce(differed, CASE WHEN %(compared)s IS NOT NULL THEN '{}'::timestamptz[] END),
        still_differing = %(still_differing)s,
        detail = %(detail)s,
        known_at = clock_timestamp(),
        corrections = %(corrections)s
    WHERE feed = %(feed)s AND day = %(day)s AND symbol = %(symbol)s
    RETURNING feed, symbol, begins_at, ends_at
)
UPDATE ticks_platform.feed_repair AS repair
SET state = 'done', changed_at = clock_timestamp()
FROM result
WHERE repair.feed = result.feed AND repair.symbol = result.symbol AND repair.kind IN ('true_up_bars', 'true_up_trades')
    AND repair.begins_at < result.ends_at AND repair.ends_at > result.begins_at AND repair.state = 'loaded';
