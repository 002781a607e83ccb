-- Trades whose id is stored with any time of the same trading day: whether that is the same trade, and whether the id says nothing. It is
-- not if others have its id too: then another time is another trade; and an id that three different ones have says nothing.
SELECT
    place,
    bool_or(is_same) AND NOT bool_or(NOT is_same AND stands) AS is_stored,
    count(DISTINCT data) FILTER (WHERE NOT is_same AND stands) > 1 AS is_constant
FROM (
    SELECT
        asked.place,
        (stored.price, stored.size) AS data,
        coalesce(stored.updates, 0) & 8 = 0 AS stands,
        (
            stored.price = asked.price
            AND CASE coalesce(stored.updates, 0) & 8
                -- The exact size of a fraction may have come one way only; the other way it is rounded down.
                WHEN 0 THEN coalesce(stored.size = asked.size OR trunc(stored.size) = asked.size OR stored.size = trunc(asked.size), true)
                -- It was taken back: with other data, this is the corrected one.
                ELSE stored.size IS NOT DISTINCT FROM asked.size
                    AND coalesce(stored.conditions, '{}') @> asked.conditions::smallint[]
                    AND coalesce(stored.conditions, '{}') <@ asked.conditions::smallint[]
            END
        ) AS is_same
    FROM unnest(%(places)s::int[], %(symbols)s::text[], %(exchanges)s::text[], %(trade_ids)s::text[], %(days)s::timestamptz[],
        %(prices)s::double precision[], %(sizes)s::double precision[], %(conditions)s::text[])
        AS asked (place, symbol, exchange, trade_id, begin, price, size, conditions)
    JOIN stocks_real_time AS stored
        ON stored.symbol = asked.symbol AND stored.trade_id = asked.trade_id
        -- Not '1 day': that is 23 or 25 hours where the session's time zone changes its clocks.
        AND stored.time >= asked.begin AND stored.time < asked.begin + INTERVAL '24 hours'
        -- Lets the planner leave out other chunks.
        AND stored.time >= %(first)s AND stored.time < %(last)s::timestamptz + INTERVAL '24 hours'
        AND stored.exchange IS NOT DISTINCT FROM asked.exchange AND stored.feed = %(feed)s
) AS compared
GROUP BY place;
