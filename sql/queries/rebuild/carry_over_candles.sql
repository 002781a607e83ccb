-- Copies candles that cannot be computed again, since what they were made from is gone.
INSERT INTO {new} ({columns})
SELECT {sources}
FROM {old}
WHERE bucket < %(until)s
    AND NOT EXISTS (
        SELECT FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS span (begins_at, ends_at)
        WHERE bucket >= begins_at AND bucket < ends_at
    );
