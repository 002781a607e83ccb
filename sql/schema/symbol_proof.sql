-- What is to be known of a symbol to say whether a candle of it is proven: when it was asked for or fetched, what is not proven, what is wrong,
-- and what is final. A time in which its market was closed was asked for. missing_by_day has when it was not received all the same; of a symbol
-- that came by one that stands for many, such as `*`, the gaps of that one are left out of `received` already.
CREATE OR REPLACE VIEW ticks_platform.symbol_proof AS
WITH wanted AS NOT MATERIALIZED (
    SELECT
        known.symbol, feed,
        CASE
            WHEN closed.since IS NOT NULL THEN closed.since
            WHEN EXISTS (
                SELECT FROM ticks_platform.feed_symbol AS before
                WHERE before.feed = known.feed AND before.symbol = known.symbol
                    AND before.wanted_from < known.wanted_from AND before.wanted_until >= known.wanted_from
            ) OR EXISTS (
                SELECT FROM ticks_platform.feed_repair AS fetched
                WHERE fetched.feed = known.feed AND fetched.symbol = known.symbol AND kind = 'trades' AND state IN ('loaded', 'done')
                    AND fetched.begins_at < known.wanted_from AND fetched.ends_at >= known.wanted_from
            ) THEN wanted_from
            -- So long, the first subscription may take without being a gap.
            ELSE wanted_from + INTERVAL '10 seconds'
        END AS begins_at,
        coalesce(wanted_until, 'infinity') AS ends_at
    FROM ticks_platform.feed_symbol AS known
    JOIN ticks_platform.feed USING (feed)
    -- What was asked for while the market was closed is whole from its last closing on.
    LEFT JOIN LATERAL (
        SELECT max(closes_at) AS since
        FROM ticks_platform.market_session AS session
        WHERE session.calendar = known.calendar AND opens_at <= wanted_from + INTERVAL '10 seconds' AND opens_at > wanted_from - INTERVAL '14 days'
        HAVING max(closes_at) <= wanted_from
    ) AS closed ON true
    WHERE feed.candles
),
time AS NOT MATERIALIZED (
    SELECT symbol, feed, begins_at, ends_at FROM wanted
    UNION ALL
    SELECT symbol, feed, begins_at, ends_at
    FROM ticks_platform.feed_repair AS fetched
    JOIN ticks_platform.feed USING (feed)
    WHERE candles AND kind IN ('trades', 'true_up_trades') AND state IN ('loaded', 'done') AND NOT EXISTS (
        SELECT
        FROM ticks_platform.feed_symbol AS known
        WHERE known.feed = fetched.feed AND known.symbol = fetched.symbol
            AND wanted_from <= fetched.begins_at AND coalesce(wanted_until, 'infinity') >= fetched.ends_at
    )
),
-- When one that stands for many was asked for and received, and of which time there is a file of all its symbols. No provider has its history:
-- what older releases took for one was empty, and so was what they repaired with it.
wildcard AS MATERIALIZED (
    SELECT known.feed, known.wildcard, coalesce(spans - coalesce(missing, '{}'), '{}') + coalesce(imported, '{}') AS spans
    FROM (SELECT DISTINCT feed, wildcard FROM ticks_platform.wildcard_symbol JOIN ticks_platform.feed USING (feed) WHERE candles) AS known
    CROSS JOIN LATERAL (
        SELECT range_agg(tstzrange(begins_at, ends_at)) AS spans FROM wanted WHERE wanted.feed = known.feed AND wanted.symbol = known.wildcard
    ) AS asked
    CROSS JOIN LATERAL (
        SELECT range_agg(tstzrange(begins_at, coalesce(ends_at, 'infinity'))) AS missing
        FROM ticks_platform.feed_gap AS gap
        WHERE gap.feed = known.feed AND gap.symbol = known.wildcard
    ) AS gaps
    CROSS JOIN LATERAL (
        SELECT range_agg(tstzrange(begins_at, ends_at)) AS imported
        FROM ticks_platform.feed_repair AS fetched
        WHERE fetched.feed = known.feed AND fetched.symbol = known.wildcard AND kind = 'trades' AND state IN ('loaded', 'done')
            AND journal_id IN (SELECT journal_id FROM ticks_platform.feed_import)
    ) AS files
    WHERE spans IS NOT NULL OR imported IS NOT NULL
),
of_feed AS MATERIALIZED (
    SELECT
        feed,
        coalesce(counted.hours - coalesce(proven.spans, '{}'), '{}') AS unproven,
        coalesce(wrong.hours, '{}') AS wrong,
        trues_up IS NOT false AS trues_up,
        is_settled
    FROM ticks_platform.feed
    JOIN ticks_platform.loaded_until USING (feed)
    LEFT JOIN (
        SELECT feed, range_agg(tstzrange(hour, hour + INTERVAL '1 hour')) AS hours
        FROM ticks_platform.feed_hour
        WHERE destination = 'stocks_real_time' AND isfinite(hour)
        GROUP BY feed
    ) AS counted USING (feed)
    LEFT JOIN (
        SELECT feed, range_agg(tstzrange(begins_at, ends_at)) AS spans FROM ticks_platform.proven_times GROUP BY feed
    ) AS proven USING (feed)
    LEFT JOIN (
        SELECT feed, range_agg(tstzrange(hour, hour + INTERVAL '1 hour')) AS hours FROM ticks_platform.wrong_hour GROUP BY feed
    ) AS wrong USING (feed)
),
by_symbol AS NOT MATERIALIZED (
    SELECT
        symbol, range_agg(spans) AS received, range_agg(unproven) AS unproven, range_agg(wrong) AS wrong, bool_or(trues_up) AS trues_up,
        bool_and(is_settled) AS is_settled
    FROM (
        SELECT symbol, feed, range_agg(tstzrange(begins_at, ends_at)) AS spans FROM time GROUP BY symbol, feed
        UNION ALL
        SELECT symbol, feed, spans FROM ticks_platform.wildcard_symbol JOIN wildcard USING (feed, wildcard)
    ) AS times
    JOIN of_feed USING (feed)
    GROUP BY symbol
),
-- While a feed is primary or secondary since a moment and its ticks are not marked accordingly, candles before are of other ticks than their feed's.
changed AS NOT MATERIALIZED (
    SELECT known.symbol, max(candles_changed_at) AS changed_at
    FROM ticks_platform.feed
    JOIN (
        SELECT feed, symbol FROM ticks_platform.feed_symbol UNION ALL SELECT feed, symbol FROM ticks_platform.wildcard_symbol
    ) AS known USING (feed)
    WHERE candles_changed_at IS NOT NULL
    GROUP BY known.symbol
),
-- Days whose true-up is done, with the time between two of them in which the market is known to have been closed; less the minutes that still differ.
trued_up AS NOT MATERIALIZED (
    SELECT symbol, range_agg(spans) AS trued_up
    FROM (
        SELECT
            symbol,
            tstzmultirange(tstzrange(
                CASE WHEN last_end < begins_at AND (
                    -- The last session before the day: where it is not known, neither are those between.
                    SELECT closes_at <= last_end
                    FROM ticks_platform.market_session AS session
                    WHERE session.calendar = day.calendar AND opens_at < begins_at
                    ORDER BY opens_at DESC
                    LIMIT 1
                ) THEN last_end ELSE begins_at END,
                ends_at
            )) - CASE WHEN still_differing > 0
                THEN coalesce((SELECT range_agg(tstzrange(minute, minute + INTERVAL '1 minute')) FROM unnest(differed) AS minute), '{}')
                ELSE '{}'
            END AS spans
        FROM (
            SELECT
                done.*,
                lag(ends_at) OVER (PARTITION BY done.feed, done.symbol ORDER BY begins_at) AS last_end,
                -- The row of a feed is deleted when another one has the symbol.
                coalesce(own.calendar, (
                    SELECT CASE WHEN min(calendar) = max(calendar) THEN min(calendar) END
                    FROM ticks_platform.symbol_calendar AS other
                    WHERE other.symbol = done.symbol
                )) AS calendar
            FROM ticks_platform.feed_true_up AS done
            LEFT JOIN ticks_platform.symbol_calendar AS own ON own.feed = done.feed AND own.symbol = done.symbol
            WHERE state = 'done'
        ) AS day
    ) AS days
    GROUP BY symbol
)
SELECT symbol, received,
    CASE WHEN changed_at IS NULL THEN unproven ELSE unproven + tstzmultirange(tstzrange(NULL, changed_at)) END AS unproven,
    wrong, coalesce(trued_up, '{}') AS trued_up, trues_up, is_settled
FROM by_symbol
LEFT JOIN trued_up USING (symbol)
LEFT JOIN changed USING (symbol);

COMMENT ON VIEW ticks_platform.symbol_proof IS 'When a symbol was asked for or fetched, and what of its candles is proven, wrong or final.';
COMMENT ON COLUMN ticks_platform.symbol_proof.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN ticks_platform.symbol_proof.received IS 'When it was asked for, or fetched later.';
COMMENT ON COLUMN ticks_platform.symbol_proof.unproven IS 'What is not proven, of hours in which ticks were counted.';
COMMENT ON COLUMN ticks_platform.symbol_proof.wrong IS 'Hours whose ticks are not those that were loaded.';
COMMENT ON COLUMN ticks_platform.symbol_proof.trued_up IS 'What the true-up has settled.';
COMMENT ON COLUMN ticks_platform.symbol_proof.trues_up IS 'Whether its days are trued up.';
COMMENT ON COLUMN ticks_platform.symbol_proof.is_settled IS 'Whether nothing waits in a journal that no living owner has.';
