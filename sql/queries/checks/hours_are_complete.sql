-- Feeds and hours whose number of ticks in the table is not the number that was loaded, less those that retention dropped or that somebody
-- declared gone: of all hours when everything is asked for, otherwise of those that changed in the last two hours (48 at most, the newest
-- changes), and of all that have no chunk, which costs a look at the catalog and not at the ticks. When a chunk was created says nothing: a
-- restore creates it again.
-- TimescaleDB's own retention policy notes nothing: what is older than such a policy keeps may be gone.
-- Official prices, corrections and trading halts have no chunks and are all kept. A later official price
-- replaces the earlier one, with another time, so they are counted by feed, as of its newest hour. Rows by hand, of the feed `manual`, were counted by
-- nobody: their number is told, and not judged. One row: how many feeds' hours were compared, with how many rows, how many rows by hand
-- were there, how many hours differ, some of those, and what is missing by table: rows, hours, begin and end.
WITH present AS MATERIALIZED (
    SELECT hypertable_name::text AS destination, range_agg(tstzrange(range_start, range_end)) AS ranges
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = (
        SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = 'stocks_real_time'::regclass
    )
    GROUP BY hypertable_name
),
retention AS MATERIALIZED (
    SELECT hypertable_name::text AS destination, max(now() - (config ->> 'drop_after')::interval) AS cutoff
    FROM timescaledb_information.jobs
    WHERE proc_name = 'policy_retention' AND config ? 'drop_after' AND hypertable_name IN ('stocks_real_time', 'stock_quotes', 'stock_aggregates')
    GROUP BY hypertable_name
),
changed AS MATERIALIZED (
    SELECT destination, hour
    FROM ticks_platform.feed_hour
    WHERE NOT %(everything)s AND changed_at > now() - INTERVAL '2 hours' AND isfinite(hour)
    GROUP BY destination, hour
    ORDER BY max(changed_at) DESC
    LIMIT 48
),
-- One of the two branches for each table is empty, and the planner knows it. Hour by hour only the chunks of that hour are
-- read; for everything one scan is faster.
stored AS (
    SELECT feed, destination, hour, ticks
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM stocks_real_time
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'stocks_real_time' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM stock_quotes
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'stock_quotes' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM stock_aggregates
        WHERE start_time >= changed.hour AND start_time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'stock_aggregates' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM tick_correction
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'tick_correction' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM trading_halt
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'trading_halt' AND NOT %(everything)s
    UNION ALL
    SELECT feed, 'trading_halt', time_bucket(INTERVAL '1 hour', time), count(*)
    FROM trading_halt
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
    UNION ALL
    SELECT feed, 'tick_correction', time_bucket(INTERVAL '1 hour', time), count(*)
    FROM tick_correction
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
    UNION ALL
    SELECT feed, 'stock_quotes', time_bucket(INTERVAL '1 hour', time), count(*)
    FROM stock_quotes
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
    UNION ALL
    SELECT feed, 'stock_aggregates', time_bucket(INTERVAL '1 hour', start_time), count(*)
    FROM stock_aggregates
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', start_time)
    UNION ALL
    SELECT feed, 'stocks_real_time', time_bucket(INTERVAL '1 hour', time), count(*)
    FROM stocks_real_time
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
),
counted AS (
    SELECT feed, destination, hour, loaded, gone
    FROM ticks_platform.feed_hour
    WHERE destination <> 'official_price' AND feed <> 'manual' AND isfinite(hour)
),
compared AS MATERIALIZED (
    SELECT
        feed,
        'official_price' AS destination,
        hour,
        coalesce(official.loaded, 0) AS loaded,
        coalesce(official.gone, 0) AS gone,
        coalesce(stored.ticks, 0) AS stored
    FROM (
        SELECT feed, max(hour) AS hour, sum(loaded)::bigint AS loaded, sum(gone)::bigint AS gone
        FROM ticks_platform.feed_hour
        WHERE destination = 'official_price' AND isfinite(hour)
        GROUP BY feed
    ) AS official
    FULL JOIN (SELECT feed, count(*) AS ticks FROM official_price GROUP BY feed) AS stored USING (feed)
    WHERE %(everything)s OR EXISTS (SELECT FROM changed WHERE destination = 'official_price')
    UNION ALL
    SELECT feed, destination, hour, coalesce(counted.loaded, 0), coalesce(counted.gone, 0), coalesce(stored.ticks, 0)
    FROM counted
    FULL JOIN (SELECT * FROM stored WHERE feed <> 'manual') AS stored USING (feed, destination, hour)
    LEFT JOIN present USING (destination)
    WHERE counted.loaded IS NULL
        OR %(everything)s
        OR (destination, hour) IN (SELECT changed.destination, changed.hour FROM changed)
        OR (
            counted.loaded > counted.gone AND destination IN ('stocks_real_time', 'stock_quotes', 'stock_aggregates')
            AND NOT coalesce(present.ranges && tstzrange(hour, hour + INTERVAL '1 hour'), false)
        )
),
judged AS MATERIALIZED (
    SELECT compared.*
    FROM compared
    LEFT JOIN retention USING (destination)
    WHERE stored >= loaded - gone OR coalesce(hour + INTERVAL '1 hour' > cutoff, true)
),
missing AS (
    SELECT
        destination,
        sum(loaded - gone - stored)::bigint AS rows,
        count(DISTINCT hour) AS hours,
        to_char(min(hour) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS begins_at,
        to_char((max(hour) + INTERVAL '1 hour') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS ends_at
    FROM judged
    WHERE stored < loaded - gone
    GROUP BY destination
)
SELECT
    (SELECT count(*) FROM judged) AS hours,
    (SELECT coalesce(sum(stored), 0)::bigint FROM judged) AS stored,
    (SELECT coalesce(sum(ticks), 0)::bigint FROM stored WHERE feed = 'manual') AS by_hand,
    (SELECT count(*) FROM judged WHERE loaded - gone <> stored) AS differing,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT feed, destination, to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS hour, loaded, gone, stored
            FROM judged WHERE loaded - gone <> stored ORDER BY judged.hour DESC, feed LIMIT 10
        ) AS worst) AS examples,
    (SELECT coalesce(json_agg(to_json(missing) ORDER BY destination), '[]') FROM missing) AS missing;
