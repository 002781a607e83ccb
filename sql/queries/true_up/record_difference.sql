-- Records what a symbol's first comparison has found.
UPDATE ticks_platform.feed_true_up
SET state = 'differs', compared = %(compared)s, differed = %(minutes)s::timestamptz[]
WHERE feed = %(feed)s AND day = %(day)s AND symbol = %(symbol)s AND state = 'wanted';
