-- Marks the coverage of a feed whose gaps are about to be computed, and returns symbol and begin of each.
UPDATE ticks_platform.feed_coverage SET computed = true
WHERE feed = %(feed)s AND NOT computed
RETURNING symbol, begins_at;
