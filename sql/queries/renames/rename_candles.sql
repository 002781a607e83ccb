-- Renames the candles that cannot be made of ticks any more.
UPDATE {table} SET symbol = %(new)s
WHERE symbol = %(old)s AND NOT EXISTS (
    SELECT FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS kept (begins_at, ends_at)
    WHERE bucket >= begins_at AND bucket + %(width)s <= ends_at
);
