-- Records that the predecessor has closed its connection.
UPDATE ticks_platform.feed_handover SET closed_at = clock_timestamp()
WHERE feed = %(feed)s AND predecessor_epoch = %(epoch)s AND predecessor = %(owner)s AND taken_at IS NOT NULL;
