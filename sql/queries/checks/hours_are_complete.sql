-- Feeds and hours whose number of ticks in the table is not the number that was loaded, less those that retention dropped or that somebody
-- declared gone: of all hours when everything is asked for, otherwise of those that changed in the last two hours (48 at most, the newest
-- changes), and of all that have no chunk, which costs a look at the catalog and not at the ticks. When a chunk was created says nothing: a
-- restore creates it again.
-- Where the fingerprint of an hour's ticks is known, that is compared too, except when everything is asked for. Such an hour is then proven, which is
-- noted in proven_hour. Hours that are over and are not proven as they are now are compared as well, as many as `budget` rows allow; an
-- hour that was proven within `fresh` is not, unless it is over and has changed. With `oldest`, those are compared whose
-- proof is the oldest: as many as `budget` rows, or a thirtieth of all.
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
-- Hours of ticks, of all feeds.
hours AS MATERIALIZED (
    SELECT
        hour,
        max(changed_at) AS changed_at,
        sum(loaded - gone) AS rows,
        hour < now() - INTERVAL '1 hour' AND ticks_platform.fingerprint_version() IS NOT NULL AND bool_or(
            loaded > gone AND (proven.rows IS DISTINCT FROM loaded - gone OR proven.fingerprint IS DISTINCT FROM counted.fingerprint)
        ) AS is_due,
        min(coalesce(proven_at, '-infinity')) AS proven_at
    FROM ticks_platform.feed_hour AS counted
    LEFT JOIN ticks_platform.proven_hour AS proven USING (feed, hour)
    WHERE NOT %(everything)s AND destination = 'stocks_real_time' AND feed <> 'manual' AND isfinite(hour)
    GROUP BY hour
),
in_order AS (
    SELECT
        hour,
        changed_at > now() - INTERVAL '2 hours' AS is_recent,
        row_number() OVER newest AS place,
        sum(rows) OVER newest - rows AS rows_before
    FROM hours
    WHERE NOT %(oldest)s AND (is_due OR changed_at > now() - INTERVAL '2 hours' AND proven_at <= now() - %(fresh)s)
    WINDOW newest AS (ORDER BY changed_at > now() - INTERVAL '2 hours' DESC, changed_at DESC, hour DESC)
),
by_age AS (
    SELECT hour, sum(rows) OVER (ORDER BY proven_at, hour) - rows AS rows_before
    FROM hours
    WHERE %(oldest)s AND rows > 0 AND hour < now() - INTERVAL '1 hour'
),
changed AS MATERIALIZED (
    SELECT 'stocks_real_time' AS destination, hour FROM in_order WHERE place <= 48 AND (is_recent OR rows_before < %(budget)s)
    UNION ALL
    SELECT 'stocks_real_time', hour FROM by_age WHERE rows_before < greatest(%(budget)s, (SELECT sum(rows) / 30 FROM hours))
    UNION ALL
    (
        SELECT destination, hour
        FROM ticks_platform.feed_hour
        WHERE NOT %(everything)s AND NOT %(oldest)s AND destination <> 'stocks_real_time'
            AND changed_at > now() - INTERVAL '2 hours' AND isfinite(hour)
        GROUP BY destination, hour
        ORDER BY max(changed_at) DESC
        LIMIT 48
    )
),
-- One of the two branches for each table is empty, and the planner knows it. Hour by hour only the chunks of that hour are
-- read; for everything one scan is faster.
stored AS (
    SELECT feed, destination, hour, ticks, fingerprint
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks, coalesce(sum(ticks_platform.tick_hash(tick_id, price, size, updates)), 0) AS fingerprint
        FROM stocks_real_time
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'stocks_real_time' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks, NULL
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM stock_quotes
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'stock_quotes' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks, NULL
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM stock_aggregates
        WHERE start_time >= changed.hour AND start_time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'stock_aggregates' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks, NULL
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM tick_correction
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'tick_correction' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks, NULL
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM trading_halt
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'trading_halt' AND NOT %(everything)s
    UNION ALL
    SELECT feed, 'trading_halt', time_bucket(INTERVAL '1 hour', time), count(*), NULL
    FROM trading_halt
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
    UNION ALL
    SELECT feed, 'tick_correction', time_bucket(INTERVAL '1 hour', time), count(*), NULL
    FROM tick_correction
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
    UNION ALL
    SELECT feed, 'stock_quotes', time_bucket(INTERVAL '1 hour', time), count(*), NULL
    FROM stock_quotes
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
    UNION ALL
    SELECT feed, 'stock_aggregates', time_bucket(INTERVAL '1 hour', start_time), count(*), NULL
    FROM stock_aggregates
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', start_time)
    UNION ALL
    SELECT feed, 'stocks_real_time', time_bucket(INTERVAL '1 hour', time), count(*), NULL
    FROM stocks_real_time
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
),
counted AS (
    SELECT
        feed, destination, hour, loaded, gone,
        CASE WHEN fingerprint_version = ticks_platform.fingerprint_version() THEN fingerprint END AS fingerprint
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
        coalesce(stored.ticks, 0) AS stored,
        NULL::numeric AS expected,
        NULL::numeric AS found
    FROM (
        SELECT feed, max(hour) AS hour, sum(loaded)::bigint AS loaded, sum(gone)::bigint AS gone
        FROM ticks_platform.feed_hour
        WHERE destination = 'official_price' AND isfinite(hour)
        GROUP BY feed
    ) AS official
    FULL JOIN (SELECT feed, count(*) AS ticks FROM official_price GROUP BY feed) AS stored USING (feed)
    WHERE %(everything)s OR EXISTS (SELECT FROM changed WHERE destination = 'official_price')
    UNION ALL
    SELECT
        feed, destination, hour, coalesce(counted.loaded, 0), coalesce(counted.gone, 0), coalesce(stored.ticks, 0),
        counted.fingerprint, stored.fingerprint
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
    SELECT compared.*, loaded - gone <> stored AS differs_in_number, loaded - gone = stored AND expected <> found AS is_changed
    FROM compared
    LEFT JOIN retention USING (destination)
    WHERE stored >= loaded - gone OR coalesce(hour + INTERVAL '1 hour' > cutoff, true)
),
proven AS (
    INSERT INTO ticks_platform.proven_hour (feed, hour, rows, fingerprint, proven_at)
    SELECT feed, hour, stored, found, now()
    FROM judged
    WHERE destination = 'stocks_real_time' AND loaded > 0 AND loaded - gone = stored AND expected = found
    ORDER BY feed, hour
    ON CONFLICT (feed, hour) DO UPDATE
    SET rows = excluded.rows, fingerprint = excluded.fingerprint, proven_at = excluded.proven_at
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
    (SELECT count(*) FROM judged WHERE differs_in_number OR is_changed) AS differing,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT
                feed, destination, to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS hour,
                to_char((hour + INTERVAL '1 hour') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS until, loaded, gone, stored,
                CASE WHEN is_changed THEN 'yes' END AS changed
            FROM judged WHERE differs_in_number OR is_changed ORDER BY judged.hour DESC, feed LIMIT 10
        ) AS worst) AS examples,
    (SELECT coalesce(json_agg(to_json(missing) ORDER BY destination), '[]') FROM missing) AS missing;
