-- The clock was wrong when these symbols were recorded as streamed: it was at another moment.
UPDATE ticks_platform.feed_symbol SET wanted_from = %(at)s
WHERE feed = %(feed)s AND symbol = ANY (%(symbols)s) AND wanted_until IS NULL AND wanted_from = ANY (%(wrong)s::timestamptz[]);
