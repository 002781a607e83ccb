-- Candles of one minute beside the provider's bars, of some symbols in their time: how many minutes have prices in either, and the
-- minutes that differ, with the number of our ticks before each and up to its end. Left out are minutes in which a symbol was
-- not asked for yet, unless its trades were fetched, and those of gaps that will not be repaired.
WITH day AS (
    SELECT *
    FROM unnest(%(symbols)s::text[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS given (symbol, begins_at, ends_at)
),
candle AS MATERIALIZED (
    SELECT candle.*
    FROM one_minute_candle AS candle
    JOIN day USING (symbol)
    WHERE bucket >= %(begin)s AND bucket < %(end)s AND bucket >= begins_at AND bucket < ends_at
),
bar AS MATERIALIZED (
    SELECT bar.*
    FROM stock_aggregates AS bar
    JOIN day USING (symbol)
    WHERE feed = %(feed)s AND end_time = start_time + INTERVAL '1 minute'
        AND start_time >= %(begin)s AND start_time < %(end)s AND start_time >= begins_at AND start_time < ends_at
),
asked AS (
    SELECT symbol, date_trunc('minute', min(wanted_from)) AS since
    FROM ticks_platform.feed_symbol
    WHERE feed = %(feed)s
    GROUP BY symbol
),
fetched AS (
    SELECT symbol, min(repair.begins_at) AS since
    FROM ticks_platform.feed_repair AS repair
    JOIN day USING (symbol)
    WHERE feed = %(feed)s AND kind = 'trades' AND state IN ('loaded', 'done')
        AND repair.ends_at > day.begins_at AND repair.begins_at < day.ends_at
    GROUP BY symbol
),
first_candle AS (SELECT symbol, min(bucket) AS bucket FROM candle GROUP BY symbol),
known AS MATERIALIZED (
    SELECT
        symbol,
        CASE
            WHEN asked.since <= begins_at
                OR EXISTS (SELECT FROM one_minute_candle AS earlier WHERE earlier.symbol = day.symbol AND earlier.bucket < begins_at)
                THEN begins_at
            WHEN asked.since < ends_at THEN least(first_candle.bucket, asked.since)
            -- It has ticks of a day before it was asked for: somebody has loaded the day, or its last hours were fetched.
            WHEN first_candle.bucket IS NOT NULL THEN greatest(begins_at, CASE WHEN fetched.since IS NOT NULL THEN least(first_candle.bucket, fetched.since) END)
        END AS since
    FROM day
    LEFT JOIN asked USING (symbol)
    LEFT JOIN first_candle USING (symbol)
    LEFT JOIN fetched USING (symbol)
),
minute AS (
    SELECT
        coalesce(candle.symbol, bar.symbol) AS symbol,
        coalesce(bucket, start_time) AS bucket,
        open IS NOT NULL OR start_time IS NOT NULL AS has_prices,
        CASE
            WHEN start_time IS NULL THEN 'no bar'
            WHEN open IS NULL THEN 'no candle'
            WHEN open <> open_price OR high <> high_price OR low <> low_price OR close <> close_price THEN 'prices differ'
            WHEN abs(candle.volume - bar.volume) > 1e-9 * greatest(abs(bar.volume), 1) OR (candle.volume IS NULL AND bar.volume <> 0)
                THEN 'volumes differ'
        END AS problem,
        coalesce(tick_count, 0) AS ticks,
        sum(coalesce(tick_count, 0)) OVER (
            PARTITION BY coalesce(candle.symbol, bar.symbol) ORDER BY coalesce(bucket, start_time)
        )::bigint AS ticks_so_far
    FROM candle
    FULL JOIN bar ON bar.symbol = candle.symbol AND start_time = bucket
),
compared AS (
    SELECT minute.*
    FROM minute
    JOIN known USING (symbol)
    WHERE has_prices AND bucket >= since AND NOT EXISTS (
        SELECT FROM ticks_platform.feed_gap AS gap
        WHERE gap.feed = %(feed)s AND gap.symbol = minute.symbol AND gap.state NOT IN ('open', 'repaired')
            AND gap.begins_at < bucket + INTERVAL '1 minute' AND coalesce(gap.ends_at, 'infinity') > bucket
    )
)
SELECT
    symbol, count(*),
    coalesce(array_agg(bucket ORDER BY bucket) FILTER (WHERE problem IS NOT NULL), '{}'),
    coalesce(array_agg(problem ORDER BY bucket) FILTER (WHERE problem IS NOT NULL), '{}'),
    coalesce(array_agg(ticks_so_far - ticks ORDER BY bucket) FILTER (WHERE problem IS NOT NULL), '{}'),
    coalesce(array_agg(ticks_so_far ORDER BY bucket) FILTER (WHERE problem IS NOT NULL), '{}')
FROM compared
GROUP BY symbol;
