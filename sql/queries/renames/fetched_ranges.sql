-- Ranges of repairs whose pages wait in a journal under the old name.
SELECT count(*) FROM ticks_platform.feed_repair
WHERE symbol = %(old)s AND feed = ANY (%(feeds)s) AND (state IN ('fetched', 'loaded') OR (state = 'wanted' AND pages > 0));
