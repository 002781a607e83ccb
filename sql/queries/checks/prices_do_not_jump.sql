-- Jumps of the price in the judged time: returns from one close to the next of the same symbol whose robust z-score is beyond the
-- limit. Returns are logarithms; differences where the price may be zero or negative. Deviations are measured from the median, in
-- median absolute deviations of the given window, which one jump does not move, and no finer than a basis point. If most returns are
-- the same, as those of a price that mostly stands still, it is that of the others, if there are enough. A return over a longer pause
-- is divided by the root of its minutes, as the spread of prices grows; so a change over night is no jump.
-- No jump is a change of one tick, what a split or a dividend explains at its execution date, or a factor of 100 in a market that
-- quotes both pounds and pence, or the like: that is a changed unit. One row: how many returns were judged, how many jump, the worst of
-- those and of the changed units, and how many of the latter there are.
WITH followed AS MATERIALIZED (
    SELECT bucket, symbol, close, lag(close) OVER by_symbol AS previous, lag(bucket) OVER by_symbol AS previous_bucket
    FROM %(candle)s
    WHERE bucket >= now() - %(window)s AND close > '-Infinity' AND close < 'Infinity'
        AND (close > 0 OR symbol IN (SELECT instrument.symbol FROM instrument WHERE may_be_negative))
    WINDOW by_symbol AS (PARTITION BY symbol ORDER BY bucket)
),
-- A row of one's own stands for all that providers say of the same action.
action AS MATERIALIZED (
    SELECT *
    FROM (
        SELECT *, source <> 'manual' AND bool_or(source = 'manual') OVER (PARTITION BY symbol, kind, execution_date) AS is_replaced
        FROM corporate_action
        WHERE superseded_at IS NULL AND execution_date >= (now() - %(window)s)::date - 1 AND execution_date <= now()::date + 2
    ) AS in_force
    WHERE NOT is_replaced
),
-- From when its prices are those after it: the night before its execution date, on the symbol's exchange.
begun AS (
    SELECT
        action.symbol,
        coalesce(session.day_begins_at, session.opens_at, execution_date::timestamp AT TIME ZONE 'UTC') AS begins_at,
        CASE WHEN kind = 'split' THEN split_from / split_to ELSE 1 END AS ratio,
        CASE
            WHEN kind <> 'dividend' THEN 0
            WHEN upper(action.currency) = instrument.currency OR action.currency IS NULL OR instrument.currency IS NULL THEN cash_amount
            WHEN (upper(action.currency), instrument.currency) IN (('GBP', 'GBX'), ('ZAR', 'ZAC'), ('ILS', 'ILA')) THEN cash_amount * 100
            WHEN (instrument.currency, upper(action.currency)) IN (('GBP', 'GBX'), ('ZAR', 'ZAC'), ('ILS', 'ILA')) THEN cash_amount / 100
            ELSE 0
        END AS cash
    FROM action
    LEFT JOIN instrument USING (symbol)
    LEFT JOIN LATERAL (
        SELECT day_begins_at, opens_at
        FROM ticks_platform.market_session
        WHERE market_session.calendar = instrument.calendar AND market_session.session = execution_date
        ORDER BY opens_at
        LIMIT 1
    ) AS session ON true
),
acted AS (
    SELECT symbol, bucket, exp(sum(ln(ratio))) AS ratio, sum(cash) AS cash
    FROM followed
    JOIN begun USING (symbol)
    WHERE begins_at > previous_bucket AND begins_at <= bucket
    GROUP BY symbol, bucket
),
returned AS MATERIALIZED (
    SELECT bucket, symbol, previous, close, coalesce(may_be_negative, false) AS by_difference, tick_size,
        -- The smaller one: a price may also be as if there were no action.
        CASE WHEN abs(plain) <= abs(explained) OR explained IS NULL THEN plain ELSE explained END AS change,
        least(abs(close - previous), abs(close - after_actions)) AS distance
    FROM (
        SELECT followed.*, may_be_negative, tick_size, after_actions,
            CASE WHEN may_be_negative THEN close - previous ELSE ln(close / previous) END / sqrt(minutes) AS plain,
            CASE
                WHEN may_be_negative THEN close - after_actions
                WHEN after_actions > 0 THEN ln(close / after_actions)
            END / sqrt(minutes) AS explained
        FROM followed
        LEFT JOIN instrument USING (symbol)
        LEFT JOIN acted USING (symbol, bucket)
        CROSS JOIN LATERAL (
            SELECT
                extract(epoch FROM bucket - previous_bucket)::double precision / 60 AS minutes,
                previous * acted.ratio - acted.cash AS after_actions
        ) AS measured
        WHERE previous_bucket IS NOT NULL
    ) AS measured
),
middle AS (
    SELECT
        symbol,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY change) AS median,
        CASE
            WHEN by_difference THEN greatest(0.0001 * avg(abs(close)), max(coalesce(tick_size, 0)), 1e-9)
            ELSE 0.0001
        END AS finest
    FROM returned
    GROUP BY symbol, by_difference
    HAVING count(*) >= %(enough)s
),
deviated AS MATERIALIZED (
    SELECT
        symbol, median, finest,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(change - median)) AS deviation,
        count(nullif(change, median)) AS others
    FROM returned
    JOIN middle USING (symbol)
    GROUP BY symbol, median, finest
),
-- Few symbols, and so apart: a second median of all would cost as much as the first.
standing AS (
    SELECT symbol, percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(change - median)) AS deviation
    FROM returned
    JOIN deviated USING (symbol)
    WHERE deviation = 0 AND others >= %(enough)s / 3 AND change <> median
    GROUP BY symbol
),
spread AS (
    SELECT symbol, median, greatest(finest, coalesce(standing.deviation, deviated.deviation)) AS deviation
    FROM deviated
    LEFT JOIN standing USING (symbol)
),
unit AS (
    SELECT symbol, major, minor
    FROM instrument
    JOIN (
        VALUES ('GBP', 'GBX', 'XLON'), ('ZAR', 'ZAC', 'XJSE'), ('ILS', 'ILA', 'XTAE')
    ) AS units (major, minor, calendar) ON currency IN (major, minor) OR (currency IS NULL AND units.calendar = instrument.calendar)
),
judged AS MATERIALIZED (
    SELECT bucket, symbol, previous, close, by_difference,
        CASE
            WHEN distance <= tick_size * 1.000001 THEN 0
            ELSE 0.6745 * abs(change - median) / deviation
        END AS z
    FROM returned
    JOIN spread USING (symbol)
    WHERE bucket >= now() - %(judged)s
),
jumping AS MATERIALIZED (
    SELECT judged.*,
        CASE
            WHEN major IS NULL OR by_difference OR abs(abs(ln(close / previous)) - ln(100)) > 0.1 THEN NULL
            WHEN close > previous THEN format('the unit changed from %%s to %%s, a factor of 100', major, minor)
            ELSE format('the unit changed from %%s to %%s, a factor of 100', minor, major)
        END AS changed_unit
    FROM judged
    LEFT JOIN unit USING (symbol)
    WHERE z > %(limit)s
)
SELECT
    (SELECT count(*) FROM judged) AS judged,
    (SELECT count(*) FROM jumping WHERE changed_unit IS NULL) AS offending,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT bucket, symbol, previous AS "from", close AS "to", coalesce(changed_unit, 'a jump') AS problem, round(z::numeric, 1) AS z
            FROM jumping ORDER BY jumping.z DESC LIMIT 10
        ) AS worst) AS examples,
    (SELECT count(changed_unit) FROM jumping) AS changed_units;
