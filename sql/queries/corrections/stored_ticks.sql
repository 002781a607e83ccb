-- The ticks that these corrections speak of: those with the same trade id, on any time of its trading day. `is_meant` tells which of
-- them the correction takes back: not one that was taken back before, nor one with other data where the correction gives data.
SELECT
    asked.place,
    stored.tick_id,
    stored.time,
    stored.price,
    stored.size,
    nullif(stored.updates, 7) AS updates,
    stored.conditions,
    coalesce(stored.updates, 0) & 8 = 0
        AND (
            asked.price IS NULL
            OR (
                stored.price = asked.price AND stored.size IS NOT DISTINCT FROM asked.size
                AND (asked.conditions IS NULL OR has.conditions @> asked.conditions::smallint[] AND has.conditions <@ asked.conditions::smallint[])
            )
        )
        AND (
            asked.kept_price IS NULL
            OR stored.price <> asked.kept_price
            OR stored.size IS DISTINCT FROM asked.kept_size
            OR NOT (has.conditions @> asked.kept_conditions::smallint[] AND has.conditions <@ asked.kept_conditions::smallint[])
        )
        AS is_meant
FROM unnest(
    %(places)s::int[], %(symbols)s::text[], %(exchanges)s::text[], %(trade_ids)s::text[], %(days)s::timestamptz[],
    %(prices)s::double precision[], %(sizes)s::double precision[],
    %(conditions)s::text[],
    %(kept_prices)s::double precision[], %(kept_sizes)s::double precision[], %(kept_conditions)s::text[]
) AS asked (place, symbol, exchange, trade_id, begin, price, size, conditions, kept_price, kept_size, kept_conditions)
JOIN stocks_real_time AS stored
    ON stored.symbol = asked.symbol AND stored.trade_id = asked.trade_id
    -- Not '1 day': that is 23 or 25 hours where the session's time zone changes its clocks.
    AND stored.time >= asked.begin AND stored.time < asked.begin + INTERVAL '24 hours'
    AND stored.exchange IS NOT DISTINCT FROM asked.exchange
CROSS JOIN LATERAL (SELECT coalesce(stored.conditions, '{}') AS conditions) AS has
WHERE stored.feed = %(feed)s
    -- Lets the planner leave out other chunks.
    AND stored.time >= %(first)s AND stored.time < %(last)s::timestamptz + INTERVAL '24 hours'
ORDER BY asked.place, stored.tick_id;
