-- Says what is wrong with the clock of the holder of a lease, or that nothing is.
UPDATE ticks_platform.feed_lease SET clock_trouble = %(trouble)s
WHERE feed = %(feed)s AND epoch = %(epoch)s AND owner = %(owner)s;
