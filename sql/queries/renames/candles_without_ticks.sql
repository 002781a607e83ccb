-- The candles of a name that cannot be made of ticks any more, and those of them that the new name has too.
SELECT
    count(*),
    count(*) FILTER (WHERE EXISTS (SELECT FROM {table} AS new WHERE new.bucket = old.bucket AND new.symbol = %(new)s))
FROM {table} AS old
WHERE symbol = %(old)s AND NOT EXISTS (
    SELECT FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS kept (begins_at, ends_at)
    WHERE bucket >= begins_at AND bucket + %(width)s <= ends_at
);
