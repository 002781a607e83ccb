-- Candles of a minute that are proven and were not: by ten minutes and feed, with the account of their hour. They were compared with their
-- ticks, and neither has changed since: the candles have the same hash, and TimescaleDB knows of no tick that a refresh has not taken in. The ticks
-- of their hour are those that were loaded. All that the feed had received by the given moments was loaded before they were compared.
-- The newest first, as many as have `budget` candles.
WITH received AS MATERIALIZED (
    SELECT * FROM unnest(%(feeds)s::text[], %(untils)s::timestamptz[]) AS given (feed, until)
),
-- What was compared of each ten minutes, from their begin on, until each end of a part.
compared AS MATERIALIZED (
    SELECT slice, ends_at, hashes AS hash, number AS candles
    FROM (
        SELECT
            slice, ends_at, slice + sum(ends_at - begins_at) OVER parts AS until, sum(hash) OVER parts AS hashes, sum(candles) OVER parts AS number
        FROM (SELECT *, time_bucket(INTERVAL '10 minutes', begins_at) AS slice FROM ticks_platform.proven_candles) AS known
        WINDOW parts AS (PARTITION BY slice ORDER BY begins_at)
    ) AS in_order
    WHERE ends_at = until
),
-- What was read of the ticks of hours that are not over.
read AS MATERIALIZED (
    SELECT coalesce(range_agg(tstzrange(begins_at, ends_at)), '{{}}') AS spans FROM ticks_platform.proven_slice
),
counted AS MATERIALIZED (
    SELECT
        feed, hour, loaded, gone, counted.fingerprint, until, hour < now() - INTERVAL '62 minutes' AS is_over,
        coalesce(proven.rows = loaded - gone AND proven.fingerprint = counted.fingerprint, false) AS is_proven
    FROM ticks_platform.feed_hour AS counted
    JOIN received USING (feed)
    LEFT JOIN ticks_platform.proven_hour AS proven USING (feed, hour)
    WHERE destination = 'stocks_real_time' AND isfinite(hour) AND loaded > gone
),
provable AS MATERIALIZED (
    SELECT DISTINCT ON (slice, feed)
        slice, compared.ends_at, compared.hash, candles, feed, loaded, gone, fingerprint, until, is_over
    FROM read, compared
    JOIN counted ON hour = time_bucket(INTERVAL '1 hour', slice)
    -- Frames that came after that may have had ticks of these candles.
    WHERE until >= compared.ends_at AND (is_proven OR NOT is_over AND tstzrange(slice, compared.ends_at) <@ spans)
        AND NOT EXISTS (SELECT FROM ticks_platform.wrong_hour AS wrong WHERE wrong.feed = counted.feed AND wrong.hour = counted.hour)
    ORDER BY slice, feed, compared.ends_at DESC
),
due AS MATERIALIZED (
    SELECT provable.*
    FROM provable
    LEFT JOIN ticks_platform.candle_proof AS proof ON proof.feed = provable.feed AND proof.begins_at = slice AND held_until IS NULL
    WHERE (proof.ends_at, proof.hash) IS DISTINCT FROM (provable.ends_at, provable.hash)
        -- An hour that is over is proven by its account, and needs no hash.
        OR is_over AND (proof.loaded, proof.gone, proof.fingerprint) IS DISTINCT FROM (provable.loaded, provable.gone, provable.fingerprint)
),
pending AS MATERIALIZED (
    SELECT
        _timescaledb_functions.to_timestamp(greatest(lowest, -210866803200000000)) AS begins_at,
        _timescaledb_functions.to_timestamp(least(greatest, 9223371331199999999)) AS ends_at
    FROM (
        SELECT lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log
        JOIN _timescaledb_catalog.continuous_agg ON materialization_id = mat_hypertable_id
        WHERE user_view_name = 'one_minute_candle' AND user_view_schema = current_schema()
        UNION ALL
        SELECT lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log
        JOIN _timescaledb_catalog.hypertable ON hypertable.id = hypertable_id
        WHERE table_name = 'stocks_real_time' AND schema_name = current_schema()
        {ranges}
    ) AS changed (lowest, greatest)
),
in_budget AS MATERIALIZED (
    SELECT slice, ends_at, hash
    FROM (SELECT *, sum(candles) OVER (ORDER BY slice DESC) - candles AS before FROM (SELECT DISTINCT slice, ends_at, hash, candles FROM due) AS slices) AS newest
    WHERE before < %(budget)s AND NOT EXISTS (SELECT FROM pending WHERE pending.begins_at < newest.ends_at AND pending.ends_at >= slice)
)
SELECT slice, ends_at, due.feed, loaded, gone, fingerprint, hash, until
FROM in_budget
JOIN due USING (slice, ends_at, hash)
WHERE hash = ticks_platform.candles_hash(slice, ends_at)
ORDER BY slice, feed;
