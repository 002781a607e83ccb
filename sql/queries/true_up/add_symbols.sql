-- Adds the symbols of a day that are not there yet, and returns them.
INSERT INTO ticks_platform.feed_true_up (feed, day, symbol, mode, begins_at, ends_at)
SELECT %(feed)s, %(day)s, given.*
FROM unnest(%(symbols)s::text[], array_fill(%(mode)s::text, ARRAY[cardinality(%(symbols)s)]), %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS given
ON CONFLICT DO NOTHING
RETURNING symbol, begins_at, ends_at;
