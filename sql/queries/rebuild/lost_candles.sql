-- Candles of the old table that are missing in the new candle: how many of those carried over, and how many of those computed again.
SELECT
    count(*) FILTER (WHERE NOT is_recomputed),
    count(*) FILTER (WHERE is_recomputed)
FROM (
    SELECT EXISTS (
        SELECT FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS span (begins_at, ends_at)
        WHERE old.bucket >= begins_at AND old.bucket < ends_at
    ) AS is_recomputed
    FROM {old} AS old
    LEFT JOIN {new} AS new ON new.bucket = old.bucket AND new.symbol = old.symbol
    WHERE old.bucket < %(until)s AND new.symbol IS NULL
) AS missing;
