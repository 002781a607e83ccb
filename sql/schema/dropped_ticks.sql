-- Until when ticks of a time are gone, because their chunk was dropped; NULL if all that were stored are there. A chunk that was created
-- after rows of its time had been counted may hold late rows only, if the first one was dropped. Ticks that nobody counted are told by
-- the symbol's candles, which stay.
CREATE OR REPLACE FUNCTION ticks_platform.dropped_ticks(of_symbol text, begins timestamptz, ends timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    suspects jsonb;
    left_out tstzmultirange;
    dropped_until timestamptz;
BEGIN
    WITH chunk AS MATERIALIZED (
        SELECT range_start, range_end,
            -- By name, for releases whose view does not have it.
            (to_jsonb(chunks) ->> 'chunk_creation_time')::timestamptz AS created_at
        FROM timescaledb_information.chunks
        WHERE hypertable_schema = current_schema() AND hypertable_name = 'stocks_real_time'
            AND range_end > begins AND range_start < ends
    )
    SELECT
        (
            SELECT jsonb_agg(to_jsonb(counted))
            FROM ticks_platform.feed_hour AS counted
            WHERE destination = 'stocks_real_time' AND isfinite(hour) AND hour > begins - INTERVAL '1 hour' AND hour < ends
                AND NOT EXISTS (
                    SELECT FROM chunk
                    WHERE range_start < hour + INTERVAL '1 hour' AND range_end > hour
                        AND (created_at IS NULL OR created_at <= counted_since)
                )
        ),
        tstzmultirange(tstzrange(begins, ends)) - coalesce((SELECT range_agg(tstzrange(range_start, range_end)) FROM chunk), '{}')
    INTO suspects, left_out;
    -- EXECUTE, so that times are constants when it is planned.
    IF suspects IS NOT NULL THEN
        EXECUTE $query$
            SELECT max(hour + INTERVAL '1 hour')
            FROM jsonb_to_recordset($1) AS counted (feed text, hour timestamptz, loaded bigint)
            WHERE loaded > (
                SELECT count(*)
                FROM stocks_real_time AS tick
                WHERE tick.feed = counted.feed AND time >= hour AND time < hour + INTERVAL '1 hour' AND time >= $2 AND time < $3
            )
        $query$
        INTO dropped_until
        USING suspects, begins - INTERVAL '1 hour', ends + INTERVAL '1 hour';
    END IF;
    IF dropped_until IS NULL AND NOT isempty(left_out) THEN
        -- Without its ticks, a candle is a stored one.
        EXECUTE $query$
            SELECT max(bucket) + INTERVAL '1 minute'
            FROM unnest($2) AS part
            JOIN one_minute_candle ON bucket >= lower(part) AND bucket < upper(part)
            WHERE symbol = $1
        $query$
        INTO dropped_until
        USING of_symbol, left_out;
    END IF;
    RETURN dropped_until;
END
$$;

COMMENT ON FUNCTION ticks_platform.dropped_ticks IS 'Until when ticks of a time are gone with their chunks. candles_as_of calls it.';
