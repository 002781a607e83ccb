-- The symbols and connections of an owner whose coverage others have closed.
SELECT symbol, connection FROM ticks_platform.feed_coverage WHERE feed = %(feed)s AND epoch = %(epoch)s AND ended_by = 'killed';
