-- Which of these trades are stored with the same time stamp.
SELECT place
FROM unnest(%(places)s::int[], %(symbols)s::text[], %(exchanges)s::text[], %(trade_ids)s::text[], %(times)s::timestamptz[],
    %(prices)s::double precision[], %(sizes)s::double precision[], %(conditions)s::text[])
    AS asked (place, symbol, exchange, trade_id, time, price, size, conditions)
WHERE EXISTS (
    SELECT FROM stocks_real_time AS stored
    WHERE stored.symbol = asked.symbol AND stored.time = asked.time AND stored.trade_id = asked.trade_id
        -- Lets the planner leave out other chunks.
        AND stored.time >= %(first)s AND stored.time <= %(last)s
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
