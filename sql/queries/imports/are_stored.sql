-- Whether a feed has a tick of one of these symbols in the time that goes with it.
SELECT EXISTS (
    SELECT
    FROM unnest(%(symbols)s::text[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[]) AS asked (symbol, first, last)
    CROSS JOIN LATERAL (
        SELECT
        FROM stocks_real_time AS stored
        WHERE stored.symbol = asked.symbol AND stored.feed = %(feed)s AND stored.time BETWEEN asked.first AND asked.last
        LIMIT 1
    ) AS found
);
