-- When trading of a symbol was halted, in a time. A halt lasts until the next message of the symbol. If that is no resumption, or there
-- is none, one may have been missed: then the halt is known until the feed's next gap, and until a trade that forms prices, but for
-- trades within a minute, which may be reports of earlier ones. A resumption without a halt ends one that began while the feed did not
-- receive the symbol: it is known from when the feed received it again, and after the last trade.
CREATE OR REPLACE FUNCTION ticks_platform.halted_times(of_symbol text, begins timestamptz, ends timestamptz)
RETURNS TABLE (begins_at timestamptz, ends_at timestamptz, feed text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    -- Of most symbols there is none, and planning the query takes longer than this.
    IF NOT EXISTS (SELECT FROM trading_halt WHERE symbol = of_symbol AND time < ends) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH told AS MATERIALIZED (
        SELECT
            time, kind, once.feed,
            lag(kind) OVER in_order AS kind_before, lag(time) OVER in_order AS time_before,
            lead(kind) OVER in_order AS kind_after, lead(time) OVER in_order AS time_after
        FROM (SELECT DISTINCT ON (time, kind) * FROM trading_halt WHERE symbol = of_symbol ORDER BY time, kind, feed) AS once
        WINDOW in_order AS (ORDER BY time, kind DESC)
    ),
    halted AS (
        SELECT
            time AS begins_at,
            CASE WHEN kind_after = 'resume' THEN time_after ELSE least(time_after, missed.since, traded.since, ends) END AS ends_at,
            told.feed
        FROM told
        LEFT JOIN LATERAL (
            SELECT min(gap.begins_at) AS since
            FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = told.feed AND gap.symbol = of_symbol AND gap.begins_at >= told.time
        ) AS missed ON kind_after IS DISTINCT FROM 'resume'
        LEFT JOIN LATERAL (
            SELECT min(tick.time) AS since
            FROM stocks_real_time AS tick
            WHERE symbol = of_symbol AND tick.time > told.time + INTERVAL '1 minute' AND tick.time < ends
                AND (updates IS NULL OR updates & 25 = 1)
        ) AS traded ON kind_after IS DISTINCT FROM 'resume'
        WHERE kind = 'halt' AND time < ends
        UNION ALL
        SELECT greatest(missed.until, time_before, traded.until), time, told.feed
        FROM told
        CROSS JOIN LATERAL (
            SELECT max(until) AS until
            FROM (
                -- As the index has it.
                SELECT max(coalesce(gap.ends_at, 'infinity')) AS until
                FROM ticks_platform.feed_gap AS gap
                WHERE gap.feed = told.feed AND gap.symbol = of_symbol AND coalesce(gap.ends_at, 'infinity') <= told.time
                UNION ALL
                SELECT max(wanted_from)
                FROM ticks_platform.feed_symbol AS wanted
                WHERE wanted.feed = told.feed AND wanted.symbol = of_symbol AND wanted_from <= told.time
            ) AS received
        ) AS missed
        LEFT JOIN LATERAL (
            SELECT max(tick.time) AS until
            FROM stocks_real_time AS tick
            WHERE symbol = of_symbol AND tick.time >= missed.until AND tick.time < told.time AND (updates IS NULL OR updates & 25 = 1)
        ) AS traded ON true
        WHERE kind = 'resume' AND kind_before IS DISTINCT FROM 'halt' AND time > begins AND missed.until IS NOT NULL
    )
    SELECT halted.begins_at, halted.ends_at, halted.feed
    FROM halted
    WHERE halted.begins_at < ends AND halted.ends_at > begins
    ORDER BY halted.begins_at;
END
$$;

COMMENT ON FUNCTION ticks_platform.halted_times IS 'When trading of a symbol was halted, in a time, as the providers told.';
