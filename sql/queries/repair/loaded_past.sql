-- Whether trades were loaded, and not refreshed yet, of a time before their symbols were in feeds.yaml.
SELECT EXISTS (
    SELECT
    FROM ticks_platform.feed_repair AS repair
    WHERE feed = %(feed)s AND state = 'loaded' AND kind = 'trades' AND NOT EXISTS (
        SELECT
        FROM ticks_platform.feed_symbol AS known
        WHERE known.feed = repair.feed AND known.symbol = repair.symbol
            AND wanted_from <= repair.begins_at AND coalesce(wanted_until, 'infinity') > repair.begins_at
    )
);
