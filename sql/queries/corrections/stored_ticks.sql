-- The ticks that these corrections speak of: those with the same trade id, on any time of its trading day. `is_meant` tells which of
-- them the correction takes back: not one that was taken back before, nor one with other data where the correction gives data.
WITH asked AS MATERIALIZED (
    SELECT
        place, symbol, exchange, trade_id, begin, price, size, conditions::smallint[] AS conditions,
        kept_price, kept_size, kept_conditions::smallint[] AS kept_conditions
    FROM unnest(
        %(places)s::int[], %(symbols)s::text[], %(exchanges)s::text[], %(trade_ids)s::text[], %(days)s::timestamptz[],
        %(prices)s::double precision[], %(sizes)s::double precision[], %(conditions)s::text[],
        %(kept_prices)s::double precision[], %(kept_sizes)s::double precision[], %(kept_conditions)s::text[]
    ) AS given (place, symbol, exchange, trade_id, begin, price, size, conditions, kept_price, kept_size, kept_conditions)
),
-- No index has the trade id, so a symbol's ticks are read through: once, and not for each of its corrections. The ids are in a hash
-- table, since coalesce() keeps the planner from making a join of IN.
stored AS MATERIALIZED (
    SELECT found.*
    FROM (SELECT DISTINCT symbol FROM asked) AS of_symbol
    CROSS JOIN LATERAL (
        SELECT
            tick.symbol, tick.trade_id, tick.exchange, tick.tick_id, tick.time, tick.price, tick.size, tick.updates,
            tick.conditions, coalesce(tick.conditions, '{}') AS has
        FROM stocks_real_time AS tick
        WHERE tick.symbol = of_symbol.symbol AND tick.feed = %(feed)s
            AND tick.time >= %(first)s AND tick.time < %(last)s::timestamptz + INTERVAL '24 hours'
            AND coalesce(tick.trade_id IN (SELECT asked.trade_id FROM asked), false)
    ) AS found
)
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
                AND (asked.conditions IS NULL OR (has @> asked.conditions AND has <@ asked.conditions))
            )
        )
        AND (
            asked.kept_price IS NULL
            OR stored.price <> asked.kept_price
            OR stored.size IS DISTINCT FROM asked.kept_size
            OR coalesce(NOT (has @> asked.kept_conditions AND has <@ asked.kept_conditions), false)
        )
        AS is_meant
FROM asked
JOIN stored
    ON stored.symbol = asked.symbol AND stored.trade_id = asked.trade_id
    -- Not '1 day': that is 23 or 25 hours where the session's time zone changes its clocks.
    AND stored.time >= asked.begin AND stored.time < asked.begin + INTERVAL '24 hours'
    AND stored.exchange IS NOT DISTINCT FROM asked.exchange
ORDER BY asked.place, stored.tick_id;
