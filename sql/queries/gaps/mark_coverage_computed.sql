-- Marks the coverage of a feed whose gaps are about to be computed, and returns symbol and begin of each. What begins in the future, by the
-- database's clock, stays to be judged by deny_future_coverage.sql once its owner is gone.
UPDATE ticks_platform.feed_coverage SET computed = begins_at <= clock_timestamp() + INTERVAL '1 second'
WHERE feed = %(feed)s AND NOT computed
RETURNING symbol, begins_at;
