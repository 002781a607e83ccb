-- Records which events of the successor's journal are left out, since the predecessor has stored them.
UPDATE ticks_platform.feed_handover
SET settled_at = clock_timestamp(), left_out = %(number)s, left_out_positions = %(positions)s
WHERE feed = %(feed)s AND epoch = %(epoch)s;
