-- Which of these trades are stored with any time of the same trading day.
SELECT place
FROM unnest(%(places)s::int[], %(symbols)s::text[], %(exchanges)s::text[], %(trade_ids)s::text[], %(days)s::timestamptz[],
    %(prices)s::double precision[], %(sizes)s::double precision[], %(conditions)s::text[])
    AS asked (place, symbol, exchange, trade_id, begin, price, size, conditions)
WHERE EXISTS (
    SELECT FROM stocks_real_time AS stored
    WHERE stored.symbol = asked.symbol AND stored.trade_id = asked.trade_id
        -- Not '1 day': that is 23 or 25 hours where the session's time zone changes its clocks.
        AND stored.time >= asked.begin AND stored.time < asked.begin + INTERVAL '24 hours'
        -- Lets the planner leave out other chunks.
        AND stored.time >= %(first)s AND stored.time < %(last)s::timestamptz + INTERVAL '24 hours'
        AND stored.exchange IS NOT DISTINCT FROM asked.exchange AND stored.feed = %(feed)s
        -- Unless it was taken back, and this is the corrected one.
        AND (
            coalesce(stored.updates, 0) & 8 = 0
            OR (
                stored.price = asked.price AND stored.size IS NOT DISTINCT FROM asked.size
                AND coalesce(stored.conditions, '{}') @> asked.conditions::smallint[]
                AND coalesce(stored.conditions, '{}') <@ asked.conditions::smallint[]
            )
        )
);
