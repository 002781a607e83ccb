-- The candles of a symbol as they could have been known at a moment: of the ticks that had been received by then, and without what the
-- market took back later. Buckets are those that begin before `ends`, from the one that holds `begins`; one that was not over then is
-- of the ticks so far. Columns are those of one_minute_candle.
--
-- Which ticks may set prices is decided by the rules, and by the primary feed, of today: these bits of a tick have no history.
-- Buckets of whole minutes are made of their minutes, as one_hour_candle is: a minute has four prices, or none and gives none.
-- Ticks that are gone with their chunk raise an error, since there is no candle of half the ticks.
-- EXECUTE, so that the times are constants when it is planned: only their chunks are read.
CREATE OR REPLACE FUNCTION candles_as_of(
    OUT bucket timestamptz, INOUT symbol text, every interval, begins timestamptz, ends timestamptz, known_at timestamptz,
    OUT open double precision, OUT high double precision, OUT low double precision, OUT close double precision,
    OUT day_volume double precision, OUT volume double precision, OUT tick_count bigint, OUT price_count bigint,
    OUT first_time timestamptz, OUT last_time timestamptz, OUT day_volume_low double precision, OUT day_volume_high double precision
) RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT
SET search_path FROM CURRENT
AS $$
DECLARE
    day CONSTANT bigint := 86400000000;
    length CONSTANT numeric := extract(epoch FROM every) * 1000000;
    -- Not '1 day': that is 23 or 25 hours where the session's time zone changes its clocks.
    width CONSTANT interval := make_interval(secs => length::double precision / 1000000);
    part interval := width;
    -- No tick is older.
    first_bucket timestamptz := greatest(begins, '1990-01-01 00:00:00+00');
    until timestamptz := ends;
    dropped_until timestamptz;
BEGIN
    IF length <= 0 OR day % length <> 0 OR extract(year FROM every) <> 0 OR extract(month FROM every) <> 0 THEN
        RAISE EXCEPTION 'no candles of %: that does not divide a day', every
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Ask for 1 minute, 5 minutes, 1 hour, 1 day, or another interval of which a day is a multiple.';
    END IF;
    IF length % 60000000 = 0 THEN
        part := INTERVAL '1 minute';
    END IF;
    first_bucket := time_bucket(width, first_bucket);
    IF isfinite(until) THEN
        until := time_bucket(width, until - INTERVAL '1 microsecond') + width;
    END IF;
    IF until <= first_bucket THEN
        RETURN;
    END IF;
    dropped_until := ticks_platform.dropped_ticks(symbol, first_bucket, until);
    IF dropped_until IS NOT NULL THEN
        RAISE EXCEPTION 'the ticks before % are not stored any more', to_char(dropped_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
            USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'Candles as of a moment are made of ticks, and those chunks were dropped, as by retention.',
            HINT = 'Ask for buckets from that time on, or keep ticks longer: retention in policies.yaml.';
    END IF;
    RETURN QUERY EXECUTE $query$
        WITH part AS (
            SELECT
                time_bucket($5, time) AS begin,
                first(price, place) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) AS open,
                max(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) AS high,
                min(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) AS low,
                last(price, place) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) AS close,
                last(day_volume, place) FILTER (WHERE day_volume IS NOT NULL AND (updates IS NULL OR updates & 28 = 4)) AS day_volume,
                sum(size) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS volume,
                count(*) AS tick_count,
                count(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) AS price_count,
                min(time) AS first_time,
                max(time) AS last_time,
                min(day_volume) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS day_volume_low,
                max(day_volume) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS day_volume_high
            FROM (
                SELECT
                    time, price, day_volume, ticks_platform.tick_order(time, tick_id) AS place, size,
                    -- Taken back later: not yet. The nested CASE keeps the look-up to such ticks.
                    CASE
                        WHEN updates & 8 = 8 THEN CASE
                            WHEN (SELECT min(correction.known_at) FROM tick_correction AS correction WHERE correction.tick_id = tick.tick_id) > $4
                                THEN updates & ~8
                            ELSE updates
                        END
                        ELSE updates
                    END AS updates
                FROM stocks_real_time AS tick
                WHERE symbol = $1 AND time >= $2 AND time < $3 AND received_at <= $4
                -- Keeps the planner from computing `updates` for each aggregate again.
                OFFSET 0
            ) AS known
            GROUP BY time_bucket($5, time)
        )
        SELECT
            time_bucket($6, begin),
            $1,
            first(open, begin) FILTER (WHERE open IS NOT NULL),
            max(high) FILTER (WHERE open IS NOT NULL),
            min(low) FILTER (WHERE open IS NOT NULL),
            last(close, begin) FILTER (WHERE close IS NOT NULL),
            last(day_volume, begin) FILTER (WHERE day_volume IS NOT NULL),
            sum(volume),
            sum(tick_count)::bigint,
            coalesce(sum(price_count) FILTER (WHERE open IS NOT NULL), 0)::bigint,
            min(first_time),
            max(last_time),
            min(day_volume_low),
            max(day_volume_high)
        FROM part
        GROUP BY time_bucket($6, begin)
        ORDER BY time_bucket($6, begin)
    $query$
    USING symbol, first_bucket, until, known_at, part, width;
END
$$;

COMMENT ON FUNCTION candles_as_of IS 'The candles of a symbol as they could have been known at a moment, from the ticks that had been received by then.';
