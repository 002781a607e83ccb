-- Judges the price of each tick once, as prices_are_positive_and_finite.sql does, and notes how many of those of the given window were judged and
-- were impossible, by the time that was read. The last minute is read again, since its ticks are still coming. One row: how many ticks there
-- are, and how many of them are wrong.
WITH moment AS MATERIALIZED (
    SELECT
        time_bucket(INTERVAL '1 second', now() - INTERVAL '1 minute') AS until,
        greatest(
            now() - %(window)s,
            (SELECT max(ends_at) FROM ticks_platform.judged_prices WHERE ends_at <= now())
        ) AS since
),
read AS MATERIALIZED (
    SELECT
        time < (SELECT until FROM moment) AS is_kept,
        count(*) AS ticks,
        count(*) FILTER (
            WHERE (price > 0 AND price < 'Infinity') IS NOT true AND NOT (
                price > '-Infinity' AND price < 'Infinity' AND symbol IN (SELECT instrument.symbol FROM instrument WHERE may_be_negative)
            ) IS true
        ) AS impossible
    FROM stocks_real_time
    -- The first says which chunks are planned, the second what is read of them.
    WHERE time >= now() - %(window)s AND time >= (SELECT since FROM moment) AND (updates IS NULL OR updates & 27 BETWEEN 1 AND 3)
    GROUP BY 1
),
kept AS (
    INSERT INTO ticks_platform.judged_prices (begins_at, ends_at, ticks, impossible)
    SELECT
        since, until,
        coalesce((SELECT ticks FROM read WHERE is_kept), 0),
        coalesce((SELECT impossible FROM read WHERE is_kept), 0)
    FROM moment
    WHERE since < until
    ON CONFLICT (begins_at) DO UPDATE
    SET ends_at = excluded.ends_at, ticks = excluded.ticks, impossible = excluded.impossible
),
dropped AS (DELETE FROM ticks_platform.judged_prices WHERE ends_at <= now() - %(window)s OR ends_at > now())
SELECT coalesce(sum(ticks), 0)::bigint, coalesce(sum(impossible), 0)::bigint
FROM (
    SELECT ticks, impossible FROM read
    UNION ALL
    SELECT ticks, impossible FROM ticks_platform.judged_prices WHERE ends_at > now() - %(window)s AND ends_at <= now()
) AS known;
