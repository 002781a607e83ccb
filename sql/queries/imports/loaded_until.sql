-- Up to when a feed's journals are loaded, as far as their owners have told; NULL if none can have more.
SELECT min(
    CASE
        WHEN heard_to <= position THEN heard_at
        ELSE coalesce(
            (
                SELECT max(last_received_at)
                FROM ticks_platform.feed_ledger AS account
                WHERE account.feed = %(feed)s AND account.connection <> %(connection)s
            ),
            '-infinity'
        )
    END
) - INTERVAL '1 minute'
FROM ticks_platform.feed_checkpoint
WHERE feed = %(feed)s AND heard_at IS NOT NULL AND lost_at IS NULL AND (is_open OR heard_to > position);
