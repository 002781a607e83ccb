-- Opens the coverage of an owner again that was presumed dead.
UPDATE ticks_platform.feed_coverage SET ends_at = NULL, ended_by = NULL, computed = false
WHERE feed = %(feed)s AND epoch = %(epoch)s AND ended_by = 'killed';
