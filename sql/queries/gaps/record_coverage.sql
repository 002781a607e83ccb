-- Records intervals of coverage; one that is known gets its new end.
INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, connection) VALUES %s
ON CONFLICT (feed, symbol, begins_at, epoch, connection) DO UPDATE
SET ends_at = excluded.ends_at, ended_by = excluded.ended_by, computed = false;
