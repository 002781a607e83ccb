-- Joins what is known of candles of the same ten minutes, once they are some hours old.
WITH joined AS MATERIALIZED (
    SELECT min(begins_at) AS begins_at, max(ends_at) AS ends_at, sum(candles) AS candles, sum(hash) AS hash, min(proven_at) AS proven_at,
        min(looked_at) AS looked_at
    FROM ticks_platform.proven_candles
    WHERE begins_at < now() - INTERVAL '2 hours' AND begins_at >= now() - INTERVAL '2 days'
    GROUP BY time_bucket(INTERVAL '10 minutes', begins_at)
    HAVING count(*) > 1 AND sum(ends_at - begins_at) = max(ends_at) - min(begins_at)
),
kept AS (
    UPDATE ticks_platform.proven_candles AS known
    SET ends_at = joined.ends_at, candles = joined.candles, hash = joined.hash, proven_at = joined.proven_at, looked_at = joined.looked_at
    FROM joined
    WHERE known.begins_at = joined.begins_at
)
DELETE FROM ticks_platform.proven_candles AS known
USING joined
WHERE known.begins_at > joined.begins_at AND known.begins_at < joined.ends_at;
