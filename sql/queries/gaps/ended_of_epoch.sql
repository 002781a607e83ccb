-- The symbols, connections and begins of an owner's coverage that has ended.
SELECT symbol, connection, begins_at FROM ticks_platform.feed_coverage
WHERE feed = %(feed)s AND epoch = %(epoch)s AND ends_at IS NOT NULL;
