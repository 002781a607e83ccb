-- Notes candles that were found to be those of their ticks, with the hash that they had before. Notes of the same time give way, and so do those
-- of spans in which candles were wrong.
WITH given AS (
    SELECT *
    FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[], %(candles)s::bigint[], %(hashes)s::numeric[])
        AS given (begins_at, ends_at, candles, hash)
),
dropped AS (
    DELETE FROM ticks_platform.proven_candles AS known
    WHERE EXISTS (
            SELECT FROM unnest(%(all_begins)s::timestamptz[], %(all_ends)s::timestamptz[]) AS compared (begins_at, ends_at)
            WHERE compared.begins_at < known.ends_at AND compared.ends_at > known.begins_at
        )
        AND begins_at NOT IN (SELECT begins_at FROM given)
)
INSERT INTO ticks_platform.proven_candles (begins_at, ends_at, candles, hash, proven_at, looked_at)
SELECT begins_at, ends_at, candles, hash, now(), now()
FROM given
ORDER BY begins_at
ON CONFLICT (begins_at) DO UPDATE
SET ends_at = excluded.ends_at, candles = excluded.candles, hash = excluded.hash, proven_at = excluded.proven_at, looked_at = excluded.looked_at;
