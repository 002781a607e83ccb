-- Feeds and hours whose number of ticks in the table is not the number that was loaded, less those that retention dropped or that somebody
-- declared gone; where the fingerprint of an hour's ticks is known, also those whose ticks are others. Ticks are read once, when they are
-- new: of an hour that is not over, what has come since the last time; proven_slice has what the rest had then. Once it is over
-- and has what was loaded, the hour is proven, which proven_hour notes. When late ticks come to it, what is read are the ten minutes that
-- touched_slice names, and the rest is known from proven_slice, which has the last twelve hours. It is read as a whole when that does not add up, and when its
-- turn comes: of what was read longer ago than `fresh`, the oldest first, as many as `budget` rows allow, or three quarters of an hour's, except hours of sealed chunks. A part
-- that has more has its turn all the more rarely, every four minutes being one, where there is `patience`.
-- Hours in `again` are read as a whole, and so is an hour that was never read before it was over, with fewer rows than `sliced`. With `oldest`, those are read whose proof is the oldest, also of sealed chunks: as many as `budget`
-- rows, or a thirtieth of all. With `everything`, all chunks that are not sealed. An hour that was wrong is told from wrong_hour, and
-- read again at its `retry_at`, or by whoever does not have `patience`.
-- All hours that have no chunk are found, which costs a look at the catalog and not at the ticks. When a chunk was created says nothing: a
-- restore creates it again.
-- Of other tables: hours that changed in the last two hours (48 at most, the newest changes), or everything.
-- TimescaleDB's own retention policy notes nothing: what is older than such a policy keeps may be gone.
-- Official prices, corrections and trading halts have no chunks and are all kept. A later official price
-- replaces the earlier one, with another time, so they are counted by feed, as of its newest hour. Rows by hand, of the feed `manual`, were counted by
-- nobody: their number is told, and not judged. One row: how many feeds' hours were compared, with how many rows, how many rows by hand
-- were there, how many hours differ, some of those, what is missing by table (rows, hours, begin and end), and which hours of ticks differ.
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
sealed AS MATERIALIZED (
    SELECT coalesce(range_agg(tstzrange(begins_at, ends_at)), '{}') AS ranges FROM ticks_platform.sealed_chunk
),
waiting AS MATERIALIZED (
    -- Not for longer than a day, should the clock have been ahead.
    SELECT *
    FROM ticks_platform.wrong_hour
    WHERE %(patience)s AND retry_at > now() AND retry_at <= now() + INTERVAL '1 day' AND hour <> ALL (%(again)s::timestamptz[])
),
-- Hours of ticks, of all feeds.
hours AS MATERIALIZED (
    SELECT
        hour,
        sum(loaded - gone) AS rows,
        -- Two minutes later, for ticks that are a little late.
        hour < now() - INTERVAL '62 minutes' AS is_over,
        bool_or(
            loaded > gone AND (proven.rows IS DISTINCT FROM loaded - gone OR proven.fingerprint IS DISTINCT FROM counted.fingerprint)
        ) AS is_due,
        min(coalesce(proven_at, '-infinity')) FILTER (WHERE loaded > gone) AS proven_at,
        max(changed_at) AS changed_at,
        hour >= now() - INTERVAL '12 hours' AND NOT %(everything)s AND NOT %(oldest)s AS has_slices
    FROM ticks_platform.feed_hour AS counted
    LEFT JOIN ticks_platform.proven_hour AS proven USING (feed, hour)
    WHERE destination = 'stocks_real_time' AND feed <> 'manual' AND isfinite(hour)
    GROUP BY hour
),
-- Three quarters of the newest hours' ticks, if that is more: so all of an hour and a half is read in two turns, at any rate.
allowed AS MATERIALIZED (
    SELECT CASE
        WHEN %(everything)s OR %(oldest)s THEN %(budget)s
        ELSE greatest(%(budget)s, (SELECT ceil(max(rows) * 0.75) FROM hours WHERE hour > now() - INTERVAL '3 hours'))
    END AS budget
),
slice AS MATERIALIZED (
    SELECT time_bucket(INTERVAL '1 hour', begins_at) AS hour, known.*
    FROM ticks_platform.proven_slice AS known
    WHERE NOT %(everything)s AND NOT %(oldest)s AND NOT EXISTS (
            SELECT FROM ticks_platform.touched_slice AS touched
            WHERE touched.begins_at < known.ends_at AND touched.begins_at + INTERVAL '10 minutes' > known.begins_at
        )
),
known AS MATERIALIZED (
    SELECT hour, begins_at, ends_at, min(read_at) AS read_at, sum(rows) AS rows FROM slice GROUP BY hour, begins_at, ends_at
),
-- What is read of ticks: parts of hours. The last minute of what has come is read and not kept, since its ticks are still coming.
unread AS MATERIALIZED (
    SELECT hour, lower(part) AS begins_at, upper(part) AS ends_at, changed_at,
        ceil(rows * extract(epoch FROM upper(part) - lower(part)) / 3600) AS rows
    FROM (
        SELECT hours.*, unnest(
            tstzmultirange(tstzrange(hour, hour + INTERVAL '1 hour'))
            - coalesce((SELECT range_agg(tstzrange(begins_at, ends_at)) FROM known WHERE known.hour = hours.hour), '{}')
        ) AS part
        FROM hours
        WHERE NOT %(everything)s AND NOT %(oldest)s AND hour <> ALL (%(again)s::timestamptz[])
            AND (
                NOT is_over OR is_due AND ticks_platform.fingerprint_version() IS NOT NULL
                OR (is_due OR rows = 0) AND changed_at > now() - INTERVAL '2 hours'
            )
    ) AS parts
),
in_turn AS (
    SELECT known.hour, begins_at, ends_at, read_at, known.rows
    FROM known
    WHERE hour >= now() - INTERVAL '62 minutes'
    UNION ALL
    SELECT hour, hour, hour + INTERVAL '1 hour', proven_at, rows
    FROM hours, sealed
    WHERE NOT %(everything)s AND NOT %(oldest)s AND is_over AND NOT is_due AND rows > 0
        AND NOT tstzrange(hour, hour + INTERVAL '1 hour') <@ ranges
),
part AS MATERIALIZED (
    SELECT hour, begins_at, ends_at
    FROM (
        SELECT *, sum(rows) OVER newest - rows AS rows_before
        FROM unread
        WHERE hour NOT IN (SELECT hour FROM waiting)
        WINDOW newest AS (
            PARTITION BY hour < now() - INTERVAL '62 minutes' ORDER BY changed_at DESC, hour DESC, begins_at ROWS UNBOUNDED PRECEDING
        )
    ) AS newest
    WHERE hour >= now() - INTERVAL '62 minutes' OR rows_before + rows <= (SELECT budget FROM allowed)
        OR rows_before = 0 AND (NOT %(patience)s OR extract(epoch FROM now())::bigint / 240 %% ceil(rows / nullif((SELECT budget FROM allowed), 0)) = 0)
    UNION
    SELECT hour, begins_at, ends_at
    FROM (
        SELECT *, sum(rows) OVER (ORDER BY read_at, begins_at) - rows AS rows_before
        FROM in_turn
        -- What was read in the future was read when the clock was ahead.
        WHERE (read_at <= now() - %(fresh)s OR read_at > now() + INTERVAL '1 minute') AND hour <> ALL (%(again)s::timestamptz[]) AND hour NOT IN (SELECT hour FROM waiting)
    ) AS in_order
    WHERE rows_before + rows <= (SELECT budget FROM allowed)
        OR rows_before = 0 AND (NOT %(patience)s OR extract(epoch FROM now())::bigint / 240 %% ceil(rows / nullif((SELECT budget FROM allowed), 0)) = 0)
    UNION
    SELECT hour, hour, hour + INTERVAL '1 hour'
    FROM (
        SELECT hour, sum(rows) OVER (ORDER BY proven_at, hour) - rows AS rows_before
        FROM hours
        WHERE %(oldest)s AND rows > 0 AND is_over
    ) AS by_age
    WHERE rows_before < greatest(%(budget)s, (SELECT sum(rows) / 30 FROM hours))
    UNION
    SELECT hour, hour, hour + INTERVAL '1 hour' FROM unnest(%(again)s::timestamptz[]) AS given (hour)
    UNION
    -- Of sealed chunks only what is not as it was proven.
    SELECT hour, hour, hour + INTERVAL '1 hour'
    FROM hours, sealed
    WHERE %(everything)s AND is_due AND rows > 0 AND tstzrange(hour, hour + INTERVAL '1 hour') <@ ranges
),
-- A part ends where the last minute begins. One that is kept is ten minutes at most, except a whole hour of few ticks: there, each batch of the
-- columnstore would be read several times.
piece AS MATERIALIZED (
    SELECT hour, split.begins_at, split.ends_at, split.ends_at <= kept_until AND coalesce(has_slices, false) AS is_kept
    FROM (
        SELECT part.hour, greatest(part.begins_at, slice) AS begins_at, least(part.ends_at, slice + width) AS ends_at, has_slices, is_over
        FROM part
        LEFT JOIN hours USING (hour)
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN part.ends_at - part.begins_at = INTERVAL '1 hour' AND (NOT has_slices OR is_over AND (NOT is_due OR hours.rows < %(sliced)s)) IS NOT false
                    THEN INTERVAL '1 hour'
                ELSE INTERVAL '10 minutes'
            END AS width
        ) AS wide
        CROSS JOIN LATERAL generate_series(time_bucket(width, part.begins_at), part.ends_at - INTERVAL '1 microsecond', width) AS slice
    ) AS slices
    CROSS JOIN (SELECT time_bucket(INTERVAL '1 second', now() - INTERVAL '1 minute') AS kept_until) AS moment
    CROSS JOIN LATERAL (
        VALUES (slices.begins_at, least(slices.ends_at, kept_until)), (greatest(slices.begins_at, kept_until), slices.ends_at)
    ) AS split (begins_at, ends_at)
    WHERE split.begins_at < split.ends_at
),
-- Hours that have ticks of one feed alone, by the account and by what was read of them: there, not to group them saves a third. If others have
-- come, the number is another one, and the hour is read again by feed.
of_one_feed AS MATERIALIZED (
    SELECT hour, min(feed) AS feed
    FROM ticks_platform.feed_hour
    WHERE destination = 'stocks_real_time' AND hour <> ALL (%(again)s::timestamptz[])
    GROUP BY hour
    HAVING count(*) = 1 AND min(feed) <> 'manual'
),
changed AS MATERIALIZED (
    SELECT 'stocks_real_time' AS destination, hour
    FROM (
        SELECT hour FROM piece
        UNION
        -- Nothing of these is left to be read, and they are not right.
        SELECT hour FROM hours WHERE has_slices AND is_due AND is_over AND hour IN (SELECT hour FROM known) AND ticks_platform.fingerprint_version() IS NOT NULL
    ) AS looked_at
    WHERE hour = ANY (%(again)s::timestamptz[]) OR hour NOT IN (SELECT hour FROM waiting)
        -- Of these, something is left for the next time.
        AND NOT EXISTS (
            SELECT FROM unread WHERE unread.hour = looked_at.hour AND NOT EXISTS (
                SELECT FROM part WHERE part.hour = unread.hour AND part.begins_at <= unread.begins_at AND part.ends_at >= unread.ends_at
            )
        )
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
read AS MATERIALIZED (
    SELECT piece.hour, begins_at, ends_at, is_kept, found.feed, ticks, fingerprint,
        -- NaN is greater than every number.
        (lowest > 0 AND highest < 'Infinity' AND priced = ticks) IS NOT true AS has_odd_prices
    FROM piece
    LEFT JOIN of_one_feed AS one ON one.hour = piece.hour
        AND NOT EXISTS (SELECT FROM slice WHERE slice.hour = piece.hour AND slice.feed <> one.feed AND slice.rows > 0)
    CROSS JOIN LATERAL (
        SELECT tick.feed, count(*) AS ticks, coalesce(sum(ticks_platform.tick_hash(tick_id, price, size, updates)), 0) AS fingerprint,
            min(price) AS lowest, max(price) AS highest, count(price) AS priced
        FROM stocks_real_time AS tick
        WHERE one.feed IS NULL AND time >= piece.begins_at AND time < piece.ends_at
        GROUP BY tick.feed
        UNION ALL
        SELECT one.feed, count(*), coalesce(sum(ticks_platform.tick_hash(tick_id, price, size, updates)), 0), min(price), max(price), count(price)
        FROM stocks_real_time
        WHERE one.feed IS NOT NULL AND time >= piece.begins_at AND time < piece.ends_at
        HAVING count(*) > 0
    ) AS found
),
-- As prices_are_positive_and_finite.sql does it.
odd AS MATERIALIZED (
    SELECT begins_at, feed, impossible
    FROM read
    CROSS JOIN LATERAL (
        SELECT count(*) AS impossible
        FROM stocks_real_time AS tick
        WHERE tick.feed = read.feed AND time >= read.begins_at AND time < read.ends_at
            AND (updates IS NULL OR updates & 27 BETWEEN 1 AND 3)
            AND (price > 0 AND price < 'Infinity') IS NOT true AND NOT (
                price > '-Infinity' AND price < 'Infinity' AND symbol IN (SELECT instrument.symbol FROM instrument WHERE may_be_negative)
            ) IS true
    ) AS found
    WHERE is_kept AND has_odd_prices
),
-- Hours of which the slices add up to what was read of them as a whole: they stay.
adds_up AS MATERIALIZED (
    SELECT piece.hour
    FROM piece
    WHERE is_kept AND ends_at - begins_at = INTERVAL '1 hour' AND EXISTS (SELECT FROM slice WHERE slice.hour = piece.hour)
        AND NOT EXISTS (
            SELECT
            FROM (SELECT feed, ticks, fingerprint FROM read WHERE read.hour = piece.hour) AS whole
            FULL JOIN (
                SELECT feed, sum(rows) AS ticks, sum(fingerprint) AS fingerprint
                FROM slice
                WHERE slice.hour = piece.hour
                GROUP BY feed
            ) AS known USING (feed)
            WHERE (coalesce(whole.ticks, 0), coalesce(whole.fingerprint, 0)) <> (coalesce(known.ticks, 0), coalesce(known.fingerprint, 0))
        )
),
unsealed AS MATERIALIZED (
    SELECT range_start, range_end
    FROM timescaledb_information.chunks, sealed
    WHERE %(everything)s AND hypertable_name = 'stocks_real_time' AND NOT tstzrange(range_start, range_end) <@ ranges
        AND hypertable_schema = (
            SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE pg_class.oid = 'stocks_real_time'::regclass
        )
),
-- One of the two branches for each table is empty, and the planner knows it.
stored AS (
    SELECT feed, 'stocks_real_time' AS destination, hour, sum(ticks)::bigint AS ticks, sum(fingerprint) AS fingerprint, min(read_at) AS read_at
    FROM (
        SELECT feed, hour, ticks, fingerprint, now() AS read_at FROM read
        UNION ALL
        SELECT feed, changed.hour, rows, fingerprint, read_at
        FROM changed
        JOIN slice USING (hour)
        WHERE destination = 'stocks_real_time' AND NOT EXISTS (
            SELECT FROM piece WHERE piece.begins_at < slice.ends_at AND piece.ends_at > slice.begins_at
        )
    ) AS parts
    GROUP BY feed, hour
    UNION ALL
    SELECT feed, destination, hour, ticks, NULL, now()
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM stock_quotes
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'stock_quotes' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks, NULL, now()
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM stock_aggregates
        WHERE start_time >= changed.hour AND start_time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'stock_aggregates' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks, NULL, now()
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM tick_correction
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'tick_correction' AND NOT %(everything)s
    UNION ALL
    SELECT feed, destination, hour, ticks, NULL, now()
    FROM changed
    CROSS JOIN LATERAL (
        SELECT feed, count(*) AS ticks
        FROM trading_halt
        WHERE time >= changed.hour AND time < changed.hour + INTERVAL '1 hour'
        GROUP BY feed
    ) AS found
    WHERE destination = 'trading_halt' AND NOT %(everything)s
    UNION ALL
    SELECT feed, 'trading_halt', time_bucket(INTERVAL '1 hour', time), count(*), NULL, now()
    FROM trading_halt
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
    UNION ALL
    SELECT feed, 'tick_correction', time_bucket(INTERVAL '1 hour', time), count(*), NULL, now()
    FROM tick_correction
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
    UNION ALL
    SELECT feed, 'stock_quotes', time_bucket(INTERVAL '1 hour', time), count(*), NULL, now()
    FROM stock_quotes
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
    UNION ALL
    SELECT feed, 'stock_aggregates', time_bucket(INTERVAL '1 hour', start_time), count(*), NULL, now()
    FROM stock_aggregates
    WHERE %(everything)s
    GROUP BY feed, time_bucket(INTERVAL '1 hour', start_time)
    UNION ALL
    SELECT feed, 'stocks_real_time', hour, sum(ticks)::bigint, sum(fingerprint), now()
    FROM unsealed
    CROSS JOIN LATERAL (
        SELECT
            feed, time_bucket(INTERVAL '1 hour', time) AS hour, count(*) AS ticks,
            coalesce(sum(ticks_platform.tick_hash(tick_id, price, size, updates)), 0) AS fingerprint
        FROM stocks_real_time
        WHERE time >= range_start AND time < range_end
        GROUP BY feed, time_bucket(INTERVAL '1 hour', time)
    ) AS found
    GROUP BY feed, hour
    UNION ALL
    -- What is sealed is as it was proven.
    SELECT feed, 'stocks_real_time', hour, proven.rows, proven.fingerprint, proven.proven_at
    FROM sealed, hours
    JOIN ticks_platform.proven_hour AS proven USING (hour)
    WHERE %(everything)s AND NOT is_due AND tstzrange(hour, hour + INTERVAL '1 hour') <@ ranges
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
        NULL::numeric AS found,
        now() AS read_at
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
        counted.fingerprint, stored.fingerprint, coalesce(stored.read_at, now())
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
wrong AS MATERIALIZED (SELECT * FROM judged WHERE differs_in_number OR is_changed),
proven AS (
    INSERT INTO ticks_platform.proven_hour (feed, hour, rows, fingerprint, proven_at)
    SELECT feed, hour, stored, found, read_at
    FROM judged
    WHERE destination = 'stocks_real_time' AND loaded > 0 AND loaded - gone = stored AND expected = found
        AND hour < now() - INTERVAL '62 minutes'
    ORDER BY feed, hour
    ON CONFLICT (feed, hour) DO UPDATE
    SET rows = excluded.rows, fingerprint = excluded.fingerprint, proven_at = excluded.proven_at
),
-- Each feed that was counted in the hour or known of the slice, also with nothing, or that has ticks in it.
kept AS (
    INSERT INTO ticks_platform.proven_slice (begins_at, ends_at, feed, rows, fingerprint, read_at, impossible)
    SELECT begins_at, ends_at, feed, coalesce(ticks, 0), coalesce(fingerprint, 0), now(), coalesce(impossible, 0)
    FROM (
        SELECT hour, begins_at, ends_at, feed
        FROM piece
        JOIN ticks_platform.feed_hour AS counted USING (hour)
        WHERE is_kept AND destination = 'stocks_real_time'
        UNION
        SELECT hour, piece.begins_at, piece.ends_at, feed
        FROM piece
        JOIN ticks_platform.proven_slice AS known USING (begins_at)
        WHERE is_kept
        UNION
        SELECT hour, begins_at, ends_at, feed FROM read WHERE is_kept
    ) AS wanted
    LEFT JOIN read USING (hour, begins_at, ends_at, feed)
    LEFT JOIN odd USING (begins_at, feed)
    WHERE hour NOT IN (SELECT hour FROM adds_up)
    ORDER BY begins_at, feed
    ON CONFLICT (begins_at, feed) DO UPDATE
    SET ends_at = excluded.ends_at, rows = excluded.rows, fingerprint = excluded.fingerprint, read_at = excluded.read_at,
        impossible = excluded.impossible
),
known_again AS (
    UPDATE ticks_platform.proven_slice SET read_at = now() WHERE time_bucket(INTERVAL '1 hour', begins_at) IN (SELECT hour FROM adds_up)
),
dropped AS (
    DELETE FROM ticks_platform.proven_slice AS known
    WHERE begins_at < time_bucket(INTERVAL '1 hour', now() - INTERVAL '12 hours')
        OR NOT %(everything)s AND NOT %(oldest)s AND EXISTS (
            SELECT FROM piece WHERE piece.begins_at < known.ends_at AND piece.ends_at > known.begins_at AND hour NOT IN (SELECT hour FROM adds_up)
        )
        AND NOT EXISTS (SELECT FROM piece WHERE is_kept AND piece.begins_at = known.begins_at)
),
-- What is left of these is read at the next time.
read_again AS (
    DELETE FROM ticks_platform.touched_slice AS touched
    WHERE begins_at < now() - INTERVAL '13 hours' OR NOT %(everything)s AND NOT %(oldest)s AND NOT EXISTS (
            SELECT FROM unread
            WHERE unread.begins_at < touched.begins_at + INTERVAL '10 minutes' AND unread.ends_at > touched.begins_at AND NOT EXISTS (
                    SELECT FROM part WHERE part.hour = unread.hour AND part.begins_at <= unread.begins_at AND part.ends_at >= unread.ends_at
                )
        )
),
-- A wrong hour is read again after eight minutes, then after twice as long each time, up to a day.
noted AS (
    INSERT INTO ticks_platform.wrong_hour AS known
        (feed, hour, loaded, gone, stored, fingerprint, is_changed, found_at, retry_at, tries)
    SELECT feed, hour, loaded, gone, stored, expected, coalesce(is_changed, false), now(), now() + INTERVAL '8 minutes', 1
    FROM wrong
    WHERE %(is_final)s AND destination = 'stocks_real_time'
    ORDER BY hour, feed
    ON CONFLICT (hour, feed) DO UPDATE
    SET loaded = excluded.loaded, gone = excluded.gone, stored = excluded.stored, fingerprint = excluded.fingerprint,
        is_changed = excluded.is_changed, tries = known.tries + 1,
        retry_at = now() + least(INTERVAL '8 minutes' * 2 ^ least(known.tries, 8), INTERVAL '1 day')
),
righted AS (
    DELETE FROM ticks_platform.wrong_hour AS known
    WHERE EXISTS (
            SELECT FROM judged
            WHERE judged.destination = 'stocks_real_time' AND judged.feed = known.feed AND judged.hour = known.hour
                AND NOT differs_in_number AND is_changed IS NOT true
        )
        -- The row that was there without having been counted is gone.
        OR loaded = 0 AND (%(everything)s OR hour IN (SELECT hour FROM changed WHERE destination = 'stocks_real_time')) AND NOT EXISTS (
            SELECT FROM stored WHERE destination = 'stocks_real_time' AND stored.feed = known.feed AND stored.hour = known.hour
        )
),
told AS MATERIALIZED (
    SELECT feed, destination, hour, loaded, gone, stored, is_changed FROM wrong
    UNION ALL
    -- What was declared since does not count.
    SELECT feed, 'stocks_real_time', waiting.hour, waiting.loaded, waiting.gone, waiting.stored, is_changed
    FROM waiting
    LEFT JOIN ticks_platform.feed_hour AS counted USING (feed, hour)
    WHERE NOT EXISTS (
            SELECT FROM judged
            WHERE judged.destination = 'stocks_real_time' AND judged.feed = waiting.feed AND judged.hour = waiting.hour
        )
        AND coalesce(counted.destination = 'stocks_real_time', true) AND coalesce(counted.gone, 0) = waiting.gone
        AND (waiting.fingerprint IS NULL OR counted.fingerprint IS NOT NULL)
),
missing AS (
    SELECT
        destination,
        sum(loaded - gone - stored)::bigint AS rows,
        count(DISTINCT hour) AS hours,
        to_char(min(hour) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS begins_at,
        to_char((max(hour) + INTERVAL '1 hour') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS ends_at
    FROM told
    WHERE stored < loaded - gone
    GROUP BY destination
)
SELECT
    (SELECT count(*) FROM judged) AS hours,
    (SELECT coalesce(sum(stored), 0)::bigint FROM judged) AS stored,
    (SELECT coalesce(sum(ticks), 0)::bigint FROM stored WHERE feed = 'manual') AS by_hand,
    (SELECT count(*) FROM told) AS differing,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT
                feed, destination, to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS hour,
                to_char((hour + INTERVAL '1 hour') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS until, loaded, gone, stored,
                CASE WHEN is_changed THEN 'yes' END AS changed
            FROM told ORDER BY told.hour DESC, feed LIMIT 10
        ) AS worst) AS examples,
    (SELECT coalesce(json_agg(to_json(missing) ORDER BY destination), '[]') FROM missing) AS missing,
    (SELECT coalesce(array_agg(DISTINCT hour), '{}') FROM wrong WHERE destination = 'stocks_real_time') AS wrong_hours;
