-- How a symbol was received in a time: feeds that were to stream it, what of the time each covered, gaps, trading halts, rejected events,
-- and the provider's bars of minutes rolled up. explain_candle calls it.
CREATE OR REPLACE FUNCTION ticks_platform.explain_reception(
    of_symbol text, begins timestamptz, ends timestamptz, listed integer DEFAULT 25
) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    found jsonb;
    rejected jsonb := '{"searched": false}';
BEGIN
    EXECUTE $query$
        WITH wanted AS MATERIALIZED (
            SELECT feed, bool_or(refusal IS NOT NULL) AS refused
            FROM ticks_platform.feed_symbol
            WHERE symbol = $1 AND wanted_from < $3 AND coalesce(wanted_until, 'infinity') > $2
            GROUP BY feed
        ),
        covered AS (
            -- What lasts is covered until now, and no longer.
            SELECT
                wanted.feed,
                range_agg(tstzrange(
                    greatest(begins_at, $2), greatest(begins_at, $2, least(coalesce(ends_at, now()), $3))
                )) AS times
            FROM wanted
            CROSS JOIN LATERAL ticks_platform.coverage_within(wanted.feed, $1, $2, $3) AS coverage
            GROUP BY wanted.feed
        ),
        gap AS MATERIALIZED (
            SELECT feed, known.*
            FROM ticks_platform.feed
            CROSS JOIN LATERAL ticks_platform.gaps_within(feed, $1, $2, $3) AS known
            ORDER BY begins_at, feed
        ),
        bar AS (
            SELECT
                feed,
                count(*) AS bars,
                first(open_price, start_time) AS open,
                max(high_price) AS high,
                min(low_price) AS low,
                last(close_price, start_time) AS close,
                sum(volume) AS volume,
                max(received_at) AS received_at
            FROM stock_aggregates
            WHERE symbol = $1 AND start_time >= $2 AND start_time < $3 AND end_time = start_time + INTERVAL '1 minute'
            GROUP BY feed
        )
        SELECT jsonb_build_object(
            'coverage', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'feed', feed,
                    'refused', refused,
                    -- Unknown of a time of which coverage is deleted.
                    'seconds', CASE WHEN NOT EXISTS (
                        SELECT FROM ticks_platform.feed_coverage AS oldest
                        WHERE oldest.feed = wanted.feed AND oldest.symbol = $1 AND is_first_kept AND oldest.begins_at > $2
                    ) THEN
                        round(coalesce((SELECT sum(extract(epoch FROM upper(part) - lower(part))) FROM unnest(times) AS part), 0), 3)
                    END
                ) ORDER BY feed), '[]')
                FROM wanted
                LEFT JOIN covered USING (feed)
            ),
            'gap_count', (SELECT count(*) FROM gap),
            'gaps', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'feed', feed, 'begins_at', begins_at, 'ends_at', ends_at, 'cause', cause, 'state', state,
                    'rows_repaired', rows_repaired
                ) ORDER BY begins_at, feed), '[]')
                FROM (SELECT * FROM gap LIMIT $4) AS listed
            ),
            'halts', (SELECT coalesce(jsonb_agg(to_jsonb(halt)), '[]') FROM ticks_platform.halted_times($1, $2, $3) AS halt),
            'bars', (SELECT coalesce(jsonb_agg(to_jsonb(bar) ORDER BY feed), '[]') FROM bar)
        )
    $query$
    INTO found
    USING of_symbol, begins, ends, listed;
    -- No index leads to the events of a symbol or a time, and there are few, or something is wrong.
    IF pg_relation_size('ticks_platform.rejected_event') < 16 * 1024 * 1024 THEN
        SELECT jsonb_build_object('searched', true, 'events', sum(events), 'reasons', jsonb_agg(to_jsonb(by_reason) ORDER BY events DESC))
        INTO rejected
        FROM (
            SELECT feed, left(reason, 200) AS reason, count(*) AS events
            FROM ticks_platform.rejected_event
            WHERE received_at >= begins AND received_at < ends + INTERVAL '1 minute'
                AND position(convert_to(to_json(of_symbol)::text, 'UTF8') IN raw) > 0
            GROUP BY feed, left(reason, 200)
            ORDER BY count(*) DESC
            LIMIT listed
        ) AS by_reason;
    END IF;
    RETURN found || jsonb_build_object('rejected', rejected);
END
$$;

COMMENT ON FUNCTION ticks_platform.explain_reception IS 'How a symbol was received in a time. explain_candle has the rest.';
