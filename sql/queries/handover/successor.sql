-- Who has taken a feed over from this owner as planned.
SELECT successor
FROM ticks_platform.feed_handover
WHERE feed = %(feed)s AND predecessor_epoch = %(epoch)s AND predecessor = %(owner)s AND taken_at IS NOT NULL;
