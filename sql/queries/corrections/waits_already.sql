-- Which of these corrections wait for their tick already.
SELECT place
FROM unnest(
    %(places)s::int[], %(symbols)s::text[], %(exchanges)s::text[], %(trade_ids)s::text[], %(days)s::timestamptz[],
    %(prices)s::double precision[], %(sizes)s::double precision[], %(conditions)s::text[]
) AS asked (place, symbol, exchange, trade_id, begin, price, size, conditions)
WHERE EXISTS (
    SELECT FROM tick_correction AS known
    WHERE known.feed = %(feed)s AND known.tick_id IS NULL
        AND known.symbol = asked.symbol AND known.trade_id = asked.trade_id AND known.exchange IS NOT DISTINCT FROM asked.exchange
        AND known.time >= asked.begin AND known.time < asked.begin + INTERVAL '24 hours'
        AND known.price IS NOT DISTINCT FROM asked.price AND known.size IS NOT DISTINCT FROM asked.size
        AND known.conditions IS NOT DISTINCT FROM asked.conditions::smallint[]
);
