-- Tells the owner of a feed until when ticks were loaded beside it: rejected ones again, or those of files.
UPDATE ticks_platform.feed_lease SET reloaded_until = greatest(reloaded_until, %(until)s)
WHERE feed = %(feed)s AND reloaded_until IS DISTINCT FROM greatest(reloaded_until, %(until)s);
