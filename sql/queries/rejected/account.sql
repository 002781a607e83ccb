-- Moves events that were loaded again in the ledger: what is not rejected any more is loaded, replaced, duplicate or control.
UPDATE ticks_platform.feed_ledger SET
    events = events + %(events)s - %(before)s,
    loaded = loaded + %(loaded)s,
    replaced = replaced + %(replaced)s,
    duplicate = duplicate + %(duplicate)s,
    rejected = rejected + %(rejected)s - %(before)s,
    control = control + %(control)s
WHERE feed = %(feed)s AND epoch = %(epoch)s AND connection = %(connection)s;
