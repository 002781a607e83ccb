-- One answer for whoever does not believe a candle: the candle as it is stored and as its ticks make it, the ticks that its prices come
-- from, those that were left out and why, what was taken back, what came late, how the symbol was received, official prices, the
-- provider's bar, and how far the candle is refreshed. The bucket is the one of this width that holds the time; a candle is of a
-- minute, an hour or a UTC day. All times are UTC. Lists are cut off at some twenty entries, the counts beside them are not.
--   answer   candle, no_price (it has volume only), or why there is none; see candle_reasons
CREATE OR REPLACE FUNCTION explain_candle(symbol text, bucket timestamptz, width interval DEFAULT '1 minute') RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    of_symbol CONSTANT text := explain_candle.symbol;
    begins CONSTANT timestamptz := time_bucket(explain_candle.width, explain_candle.bucket);
    ends CONSTANT timestamptz := begins + make_interval(secs => extract(epoch FROM explain_candle.width)::double precision);
    view_name text;
    stored jsonb;
    compared jsonb;
    ticks jsonb;
    refresh jsonb;
    reception jsonb;
    official jsonb;
    hours jsonb;
    derived jsonb;
BEGIN
    view_name := CASE explain_candle.width
        WHEN INTERVAL '1 minute' THEN 'one_minute_candle'
        WHEN INTERVAL '1 hour' THEN 'one_hour_candle'
        WHEN INTERVAL '1 day' THEN 'one_day_candle'
    END;
    IF view_name IS NULL THEN
        RAISE EXCEPTION 'no candle has the width %', explain_candle.width
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Candles are of 1 minute, 1 hour or 1 day.';
    END IF;
    EXECUTE format('SELECT to_jsonb(candle) - ''bucket'' - ''symbol'' FROM %I AS candle WHERE symbol = $1 AND bucket = $2', view_name)
    INTO stored
    USING of_symbol, begins;
    IF stored ->> 'volume' IS NULL AND stored ->> 'day_volume' IS NOT NULL THEN
        SELECT jsonb_build_object(
            'volume', sum(minute.volume),
            'since', (array_agg(minute.since ORDER BY minute.bucket))[1],
            'is_first_of_day', (array_agg(minute.since ORDER BY minute.bucket))[1] IS NULL
        )
        INTO derived
        FROM ticks_platform.derived_volumes(ARRAY[of_symbol], begins, ends) AS minute
        WHERE minute.derived;
    END IF;
    refresh := ticks_platform.explain_refresh(view_name, begins, ends);
    ticks := ticks_platform.explain_ticks(
        of_symbol, begins, ends, coalesce((refresh ->> 'late_from')::timestamptz, ends + INTERVAL '1 minute')
    );
    reception := ticks_platform.explain_reception(of_symbol, begins, ends);

    -- Minutes without prices have volume and no bar, so volumes of longer buckets are not comparable.
    IF reception -> 'bars' <> '[]' THEN
        compared := CASE WHEN explain_candle.width > INTERVAL '1 minute' THEN stored - 'volume' ELSE stored END;
        reception := jsonb_set(reception, '{bars}', (
            SELECT jsonb_agg(bar || jsonb_build_object('differs', ticks_platform.explain_difference(compared, bar)) ORDER BY place)
            FROM jsonb_array_elements(reception -> 'bars') WITH ORDINALITY AS given (bar, place)
        ));
    END IF;

    -- The trading days that the bucket lies in, each with the hours before its opening.
    WITH known AS (
        SELECT symbol_calendar.calendar
        FROM ticks_platform.symbol_calendar
        WHERE symbol_calendar.symbol = of_symbol
        ORDER BY calendar = 'always', feed
        LIMIT 1
    ),
    days AS (
        SELECT session, calendar, min(opens_at) AS opens_at, max(closes_at) AS closes_at
        FROM known
        JOIN ticks_platform.market_session USING (calendar)
        WHERE opens_at < ends + INTERVAL '6 hours' AND opens_at > begins - INTERVAL '10 days'
        GROUP BY session, calendar
    )
    SELECT
        (SELECT jsonb_agg(to_jsonb(day) ORDER BY opens_at) FROM days AS day WHERE opens_at >= coalesce(first_opening, '-infinity')),
        (
            SELECT coalesce(jsonb_agg(
                to_jsonb(official_price) - 'symbol' - 'received_at'
                ORDER BY session, kind = 'open' DESC, kind = 'corrected_close' DESC, is_primary DESC, size DESC NULLS LAST, time DESC
            ), '[]')
            FROM official_price
            WHERE symbol = of_symbol AND session BETWEEN first_session AND last_session
        )
    INTO hours, official
    FROM (
        SELECT
            max(opens_at) FILTER (WHERE opens_at <= begins + INTERVAL '6 hours') AS first_opening,
            coalesce(max(days.session) FILTER (WHERE opens_at <= begins + INTERVAL '6 hours'), begins::date) AS first_session,
            coalesce(max(days.session), (ends - INTERVAL '1 microsecond')::date) AS last_session
        FROM days
    ) AS bounds;

    RETURN jsonb_build_object(
        'symbol', of_symbol,
        'bucket', begins,
        'until', ends,
        'has_ended', ends <= now(),
        'answer', CASE
            WHEN stored IS NULL THEN ticks_platform.why_no_candle(of_symbol, begins, explain_candle.width)
            WHEN stored ->> 'open' IS NULL THEN 'no_price'
            ELSE 'candle'
        END,
        'candle', stored,
        'derived_volume', derived,
        'differs_from_its_ticks', ticks_platform.explain_difference(stored, ticks -> 'recomputed'),
        'refresh', refresh,
        'sessions', coalesce(hours, '[]'),
        'official_prices', official
    ) || coalesce(ticks, '{"recomputed": null}') || reception;
END
$$;

COMMENT ON FUNCTION explain_candle IS 'Where the candle of a symbol in a bucket comes from, and what was left out of it; or why there is none.';
