-- What prices before a split or dividend are multiplied by, so that they compare with prices of today: one row per symbol, kind and date, of
-- actions that are in force and have been executed. An own row (source `manual`) stands for all that a provider says of the same symbol,
-- kind and date.
-- Splits are computed from their ratios: the provider's cumulative factors are rounded to six decimals. Dividends are the provider's: the
-- quotient of two cumulative factors that follow each other is the factor of one dividend.
CREATE OR REPLACE VIEW ticks_platform.price_adjustment AS
WITH known AS NOT MATERIALIZED (
    SELECT DISTINCT ON (symbol) symbol, calendar
    FROM ticks_platform.symbol_calendar
    ORDER BY symbol, calendar = 'always', feed
),
in_force AS (
    SELECT symbol, kind, execution_date, source, split_from, split_to, price_factor,
        CASE WHEN kind = 'dividend' AND historical_adjustment_factor > 0 AND historical_adjustment_factor < 'Infinity' THEN historical_adjustment_factor END AS cumulative,
        bool_or(source = 'manual') OVER (PARTITION BY symbol, kind, execution_date) AND source <> 'manual' AS replaced
    FROM corporate_action
    WHERE superseded_at IS NULL
),
-- Several dividends of one day: the least factor contains the others.
of_date AS (
    SELECT symbol, kind, execution_date, source,
        ticks_platform.product(split_from) FILTER (WHERE kind = 'split') AS split_from,
        ticks_platform.product(split_to) FILTER (WHERE kind = 'split') AS split_to,
        ticks_platform.product(price_factor) FILTER (WHERE price_factor IS NOT NULL) AS price_factor,
        min(cumulative) AS cumulative, bool_or(replaced) AS replaced
    FROM in_force
    GROUP BY symbol, kind, execution_date, source
),
single AS (
    SELECT symbol, kind, execution_date, split_from, split_to, replaced,
        coalesce(
            cumulative / coalesce(
                lead(cumulative) OVER (PARTITION BY symbol, kind, source, cumulative IS NULL ORDER BY execution_date), 1
            ),
            price_factor,
            1
        ) AS dividend_factor
    FROM of_date
),
dated AS (
    SELECT symbol, kind, execution_date,
        ticks_platform.product(coalesce(split_from, 1)) AS split_from,
        ticks_platform.product(coalesce(split_to, 1)) AS split_to,
        ticks_platform.product(dividend_factor) AS dividend_factor
    FROM single
    WHERE NOT replaced
    GROUP BY symbol, kind, execution_date
),
begun AS (
    SELECT dated.*,
        -- The night before: as the first session from that date on begins. Without a calendar, at midnight UTC.
        coalesce(session.begins_at, execution_date::timestamp AT TIME ZONE 'UTC') AS begins_at
    FROM dated
    LEFT JOIN known USING (symbol)
    LEFT JOIN LATERAL (
        SELECT min(coalesce(day_begins_at, opens_at)) AS begins_at
        FROM ticks_platform.market_session
        -- Decades of dividends are before the first session that is known.
        WHERE dated.execution_date >= (SELECT min(first.session) - 12 FROM ticks_platform.market_session AS first)
            AND market_session.calendar = known.calendar AND market_session.session >= dated.execution_date
            AND opens_at >= dated.execution_date::timestamp AT TIME ZONE 'UTC' - INTERVAL '2 days'
            AND opens_at < dated.execution_date::timestamp AT TIME ZONE 'UTC' + INTERVAL '12 days'
    ) AS session ON true
)
SELECT
    symbol,
    kind,
    execution_date,
    begins_at,
    CASE kind
        WHEN 'split' THEN ticks_platform.product(split_from) OVER newer / ticks_platform.product(split_to) OVER newer
        ELSE ticks_platform.product(dividend_factor) OVER newer
    END AS factor
FROM begun
WHERE begins_at <= now()
WINDOW newer AS (PARTITION BY symbol, kind ORDER BY execution_date DESC);

COMMENT ON VIEW ticks_platform.price_adjustment IS 'Cumulative factors of splits and dividends.';
COMMENT ON COLUMN ticks_platform.price_adjustment.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN ticks_platform.price_adjustment.kind IS 'split or dividend.';
COMMENT ON COLUMN ticks_platform.price_adjustment.execution_date IS 'First day that trades with it.';
COMMENT ON COLUMN ticks_platform.price_adjustment.begins_at IS 'When that day begins on the symbol''s exchange.';
COMMENT ON COLUMN ticks_platform.price_adjustment.factor IS 'What prices before begins_at, and from the action of the same kind before it on, are multiplied by: newer actions of this kind included.';
