-- The job of the notes' retention: deletes what the platform has noted of its feeds once it is older than the interval of its kind in
-- config. What has no interval stays. The account still balances, since deleted rejected events are counted in feed.rejected_deleted.
-- Hours in feed_hour stay: those of dropped chunks are what keeps a late tick from replacing the candles that outlived them. So do gaps that
-- no ticks filled: what was missed in them is in no table, and candles, which are never dropped, would count as proven without them.
CREATE OR REPLACE PROCEDURE ticks_platform.delete_old_notes(job_id integer, config jsonb)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    -- NULL where nothing is deleted.
    sessions timestamptz := now() - (config ->> 'feed_session')::interval;
    gaps timestamptz := now() - (config ->> 'settled_gaps')::interval;
    repairs timestamptz := now() - (config ->> 'finished_repairs')::interval;
    rejected timestamptz := now() - (config ->> 'rejected_events')::interval;
BEGIN
    -- The newest of each feed stay however old they are: they say how it is.
    DELETE FROM ticks_platform.feed_session AS session
    USING (
        SELECT feed.feed, (
            SELECT at FROM ticks_platform.feed_session AS newest
            WHERE newest.feed = feed.feed ORDER BY at DESC OFFSET 199 LIMIT 1
        ) AS since
        FROM ticks_platform.feed AS feed
    ) AS kept
    WHERE session.feed = kept.feed AND session.at < kept.since AND session.at < sessions;

    -- What was repaired with ticks lacks nothing. While there are bars in a gap, one_minute_candle_filled looks at it.
    DELETE FROM ticks_platform.feed_gap AS gap
    WHERE state = 'repaired' AND detail NOT LIKE '% minute bars %' AND ends_at < gaps
        AND NOT EXISTS (
            SELECT FROM stock_aggregates AS bars
            WHERE bars.feed = gap.feed AND bars.symbol = gap.symbol
                AND bars.start_time > gap.begins_at - INTERVAL '1 minute' AND bars.start_time < gap.ends_at
        )
        -- One that stands for many has no history to be repaired with, and files prove what they have of it.
        AND NOT EXISTS (
            SELECT FROM ticks_platform.wildcard_symbol AS many WHERE many.feed = gap.feed AND many.wildcard = gap.symbol
        )
        -- Beside coverage that is kept, it may be computed again, and would be open.
        AND NOT EXISTS (
            SELECT
            FROM (SELECT feed, symbol, min(begins_at) AS begins_at FROM ticks_platform.feed_coverage GROUP BY feed, symbol) AS oldest
            WHERE oldest.feed = gap.feed AND oldest.symbol = gap.symbol AND oldest.begins_at <= gap.ends_at
        )
        -- A halt without a resumption is known until the next gap, and a resumption without a halt since the last one.
        AND gap_id NOT IN (
            SELECT beside.gap_id
            FROM trading_halt AS told
            CROSS JOIN LATERAL (
                (
                    SELECT next.gap_id
                    FROM ticks_platform.feed_gap AS next
                    WHERE told.kind = 'halt' AND next.feed = told.feed AND next.symbol = told.symbol AND next.begins_at >= told.time
                    ORDER BY next.begins_at
                    LIMIT 1
                )
                UNION ALL
                (
                    SELECT last.gap_id
                    FROM ticks_platform.feed_gap AS last
                    WHERE told.kind = 'resume' AND last.feed = told.feed AND last.symbol = told.symbol
                        AND coalesce(last.ends_at, 'infinity') <= told.time
                    ORDER BY coalesce(last.ends_at, 'infinity') DESC
                    LIMIT 1
                )
            ) AS beside
        );

    -- Those that stay are joined where no minute lies between them: no candle can tell the difference.
    WITH settled AS (
        SELECT
            *,
            max(ends_at) OVER (
                PARTITION BY feed, symbol, state, cause, detail LIKE '% minute bars %' ORDER BY begins_at
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS last_end
        FROM ticks_platform.feed_gap AS gap
        WHERE (state IN ('unrepairable', 'ignored') OR state = 'repaired' AND detail LIKE '% minute bars %') AND ends_at < gaps
            -- Files prove parts of these.
            AND NOT EXISTS (
                SELECT FROM ticks_platform.wildcard_symbol AS many WHERE many.feed = gap.feed AND many.wildcard = gap.symbol
            )
    ),
    joined AS (
        SELECT
            *,
            count(*) FILTER (WHERE is_apart) OVER (
                PARTITION BY feed, symbol, state, cause, detail LIKE '% minute bars %' ORDER BY begins_at
            ) AS part
        FROM (
            SELECT
                *,
                coalesce(begins_at >= time_bucket(INTERVAL '1 minute', last_end - INTERVAL '1 microsecond') + INTERVAL '2 minutes', true)
                    OR EXISTS (
                        SELECT FROM trading_halt AS told
                        WHERE told.feed = settled.feed AND told.symbol = settled.symbol AND told.time BETWEEN last_end AND begins_at
                    )
                    OR EXISTS (
                        SELECT FROM ticks_platform.feed_repair AS repair
                        WHERE repair.feed = settled.feed AND repair.symbol = settled.symbol AND kind = 'trades'
                            AND repair.begins_at < settled.begins_at AND repair.ends_at > last_end
                    ) AS is_apart
            FROM settled
        ) AS apart
    ),
    whole AS (
        SELECT
            feed, symbol, min(begins_at) AS begins_at, max(ends_at) AS ends_at, sum(rows_repaired)::bigint AS rows_repaired,
            array_agg(gap_id) AS gap_ids
        FROM joined
        GROUP BY feed, symbol, state, cause, detail LIKE '% minute bars %', part
        HAVING count(*) > 1
    ),
    lengthened AS (
        UPDATE ticks_platform.feed_gap AS gap
        SET ends_at = whole.ends_at, rows_repaired = whole.rows_repaired, changed_at = clock_timestamp()
        FROM whole
        WHERE gap.gap_id = ANY (gap_ids) AND gap.begins_at = whole.begins_at
    )
    DELETE FROM ticks_platform.feed_gap AS gap
    USING (SELECT unnest(gap_ids) AS gap_id, begins_at FROM whole) AS part
    WHERE gap.gap_id = part.gap_id AND gap.begins_at > part.begins_at;

    -- A gap that was repaired with trades is known as such by its repair, and so is a time in which the symbol was not asked for.
    DELETE FROM ticks_platform.feed_repair AS repair
    WHERE state IN ('done', 'failed') AND ends_at < repairs AND changed_at < repairs
        AND NOT EXISTS (
            SELECT FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = repair.feed AND gap.symbol = repair.symbol
                AND coalesce(gap.ends_at, 'infinity') > repair.begins_at AND gap.begins_at < repair.ends_at
        )
        AND (state = 'failed' OR kind NOT IN ('trades', 'true_up_trades') OR EXISTS (
            SELECT FROM ticks_platform.feed_symbol AS known
            WHERE known.feed = repair.feed AND known.symbol = repair.symbol
                AND wanted_from <= repair.begins_at AND coalesce(wanted_until, 'infinity') >= repair.ends_at
        ))
        -- Without one that failed, a day would count as one of which everything was fetched.
        AND NOT EXISTS (
            SELECT FROM ticks_platform.feed_true_up AS day
            WHERE day.feed = repair.feed AND day.symbol = repair.symbol AND day.state IN ('wanted', 'differs')
                AND day.ends_at > repair.begins_at AND day.begins_at < repair.ends_at
        )
        AND NOT EXISTS (SELECT FROM ticks_platform.feed_repair_request AS request WHERE request.repair_id = repair.repair_id);

    WITH deleted AS (DELETE FROM ticks_platform.rejected_event WHERE received_at < rejected RETURNING feed)
    UPDATE ticks_platform.feed AS known SET rejected_deleted = rejected_deleted + number
    FROM (SELECT feed, count(*) AS number FROM deleted GROUP BY feed) AS counted
    WHERE known.feed = counted.feed;
END
$$;
