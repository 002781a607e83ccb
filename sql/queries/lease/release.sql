-- Releases a lease, if this owner still holds it.
UPDATE ticks_platform.feed_lease SET released_at = clock_timestamp()
WHERE feed = %(feed)s AND epoch = %(epoch)s AND owner = %(owner)s;
