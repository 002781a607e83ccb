-- Heartbeat of the holder of a repair lease; no row changes when somebody else holds it.
UPDATE ticks_platform.feed_repair_lease SET heartbeat_at = clock_timestamp()
WHERE feed = %(feed)s AND epoch = %(epoch)s AND owner = %(owner)s;
