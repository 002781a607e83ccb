-- Deletes coverage of no length: a connection that brought nothing, of which a flapping provider makes many. The first one since the
-- symbol was wanted stays, since it shows what was missed.
DELETE FROM ticks_platform.feed_coverage AS known
WHERE feed = %(feed)s AND NOT computed AND ends_at = begins_at AND ended_by <> 'killed' AND EXISTS (
    SELECT FROM ticks_platform.feed_coverage AS earlier
    WHERE earlier.feed = known.feed AND earlier.symbol = known.symbol AND earlier.begins_at < known.begins_at
        AND earlier.begins_at >= (
            SELECT max(wanted_from) FROM ticks_platform.feed_symbol AS wanted
            WHERE wanted.feed = known.feed AND wanted.symbol = known.symbol AND wanted.wanted_from <= known.begins_at
        )
);
