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
        -- With other data, it is another trade: the id says nothing, or this is the corrected one.
        AND (
            stored.price = asked.price
            AND CASE coalesce(stored.updates, 0) & 8
                -- The exact size of a fraction may have come one way only; the other way it is rounded down.
                WHEN 0 THEN coalesce(stored.size = asked.size OR trunc(stored.size) = asked.size OR stored.size = trunc(asked.size), true)
                -- It was taken back: with other data, this is the corrected one.
                ELSE stored.size IS NOT DISTINCT FROM asked.size
                    AND coalesce(stored.conditions, '{}') @> asked.conditions::smallint[]
                    AND coalesce(stored.conditions, '{}') <@ asked.conditions::smallint[]
            END
        )
);
