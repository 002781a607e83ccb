-- Part of the live page's statement: the newest gaps of symbols within a time, of feeds that make candles.
SELECT 'gaps' AS part, coalesce(json_agg(json_build_object(
    'feed', feed, 'symbol', symbol, 'begin', extract(epoch FROM begins_at)::float8, 'end', extract(epoch FROM ends_at)::float8,
    'cause', cause, 'state', state, 'detail', detail
) ORDER BY symbol, begins_at), '[]') AS content
FROM (
    SELECT gap.*
    FROM unnest({symbols}) AS chosen (name)
    CROSS JOIN LATERAL (
        SELECT * FROM ticks_platform.feed_gap
        WHERE symbol = chosen.name AND begins_at < to_timestamp({until}) AND coalesce(ends_at, 'infinity') > to_timestamp({since})
            AND feed IN (SELECT feed FROM ticks_platform.feed WHERE candles)
        ORDER BY begins_at DESC LIMIT {limit}
    ) AS gap
) AS newest
