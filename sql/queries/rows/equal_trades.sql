-- Which of these trades are stored: those that equal more stored ones than precede them in their delivery.
SELECT place
FROM unnest(%(places)s::int[], %(symbols)s::text[], %(exchanges)s::text[], %(trade_ids)s::text[], %(times)s::timestamptz[],
    %(prices)s::double precision[], %(sizes)s::double precision[], %(conditions)s::text[], %(numbers)s::int[])
    AS asked (place, symbol, exchange, trade_id, time, price, size, conditions, number)
WHERE asked.number < (
    SELECT count(*) FROM stocks_real_time AS stored
    WHERE stored.symbol = asked.symbol AND stored.time = asked.time
        -- Lets the planner leave out other chunks.
        AND stored.time >= %(first)s AND stored.time <= %(last)s
        AND stored.exchange IS NOT DISTINCT FROM asked.exchange AND stored.feed = %(feed)s
        AND nullif(stored.trade_id, '') IS NOT DISTINCT FROM asked.trade_id
        AND stored.price = asked.price AND stored.size IS NOT DISTINCT FROM asked.size
        AND coalesce(stored.conditions, '{}') @> asked.conditions::smallint[]
        AND coalesce(stored.conditions, '{}') <@ asked.conditions::smallint[]
);
