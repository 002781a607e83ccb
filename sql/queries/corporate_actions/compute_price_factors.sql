-- Computes the factors of dividends for which no provider has one: 1 - the amount / the close of the trading day before, both as of then. Only
-- of symbols and sources without any factor of the provider, since such a factor may contain others. A dividend before the first candle has
-- nothing to adjust. A dividend in pounds is a hundred times as much in a price in pence; one in another currency has no factor. With a split
-- of the same date, the amount is that of a new share.
UPDATE corporate_action AS dividend
SET price_factor = CASE WHEN before.close > paid.amount THEN 1 - paid.amount / before.close END
FROM corporate_action AS same
LEFT JOIN instrument USING (symbol)
CROSS JOIN LATERAL (
    SELECT same.cash_amount * CASE
        WHEN upper(same.currency) = instrument.currency OR same.currency IS NULL OR instrument.currency IS NULL THEN 1
        WHEN (upper(same.currency), instrument.currency) IN (('GBP', 'GBX'), ('ZAR', 'ZAC'), ('ILS', 'ILA')) THEN 100
        WHEN (instrument.currency, upper(same.currency)) IN (('GBP', 'GBX'), ('ZAR', 'ZAC'), ('ILS', 'ILA')) THEN 0.01
    END AS amount
) AS paid
CROSS JOIN LATERAL (
    SELECT session, close
    FROM session_day_candle
    WHERE session_day_candle.symbol = same.symbol AND session < same.execution_date AND session >= same.execution_date - 12
        AND close IS NOT NULL
    ORDER BY session DESC
    LIMIT 1
) AS last
CROSS JOIN LATERAL (
    SELECT last.close * coalesce(ticks_platform.product(split_from / split_to), 1) AS close
    FROM corporate_action AS split
    WHERE split.symbol = same.symbol AND kind = 'split' AND superseded_at IS NULL
        AND execution_date > last.session AND execution_date <= same.execution_date
        -- A row of one's own stands for all that providers say of the same date.
        AND (source = 'manual' OR NOT EXISTS (
            SELECT FROM corporate_action AS own
            WHERE own.symbol = split.symbol AND own.kind = 'split' AND own.superseded_at IS NULL AND own.source = 'manual'
                AND own.execution_date = split.execution_date
        ))
) AS before
WHERE same.ctid = dividend.ctid AND same.tableoid = dividend.tableoid
    AND dividend.kind = 'dividend' AND dividend.superseded_at IS NULL AND dividend.historical_adjustment_factor IS NULL
    AND dividend.cash_amount > 0 AND dividend.symbol = ANY (%(symbols)s)
    AND dividend.price_factor IS NULL
    AND dividend.execution_date > (SELECT min(bucket)::date FROM one_day_candle)
    AND dividend.execution_date <= now()::date
    AND NOT EXISTS (
        SELECT FROM corporate_action AS other
        WHERE other.symbol = dividend.symbol AND other.kind = 'dividend' AND other.source = dividend.source
            AND other.superseded_at IS NULL AND other.historical_adjustment_factor IS NOT NULL
    );
