-- What the ticks of a symbol make of a time that is whole minutes: the candle, the ticks that its prices come from, the ticks that
-- were left out, and all of them by what they may change. NULL where there is no tick. explain_candle calls it.
--
-- It reads the ticks of the time once, minute by minute, as groups of the same conditions, and then those of the few minutes again in
-- which the ticks are that it shows. EXECUTE, so that the times are constants when it is planned: only their chunks are read.
CREATE OR REPLACE FUNCTION ticks_platform.explain_ticks(
    of_symbol text, begins timestamptz, ends timestamptz, late_from timestamptz, listed integer DEFAULT 25
) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    found jsonb;
BEGIN
    EXECUTE $query$
        WITH grouped AS MATERIALIZED (
            SELECT
                *,
                low IS NOT NULL AND coalesce(updates, 7) & 25 = 1 AS opens,
                low IS NOT NULL AND coalesce(updates, 7) & 26 = 2 AS extends,
                coalesce(updates, 7) & 28 = 4 AS counts,
                CASE WHEN updates & 16 > 0 THEN 'secondary' WHEN updates & 8 > 0 THEN 'cancelled' ELSE 'conditions' END AS reason
            FROM generate_series($2, $3 - INTERVAL '1 microsecond', INTERVAL '1 minute') AS minutes_of (minute)
            CROSS JOIN LATERAL (
                SELECT
                    feed,
                    updates,
                    conditions,
                    count(*) AS ticks,
                    sum(size) AS volume,
                    min(price) AS low,
                    max(price) AS high,
                    first(place, place) AS first_place,
                    last(place, place) AS last_place,
                    last(day_volume, place) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
                    last(place, place) FILTER (WHERE day_volume IS NOT NULL) AS day_volume_place,
                    array_agg(tick_id) FILTER (WHERE updates & 8 > 0) AS cancelled,
                    count(*) FILTER (WHERE received_at >= $4) AS late,
                    max(received_at) AS received_at
                FROM (SELECT *, ticks_platform.tick_order(time, tick_id) AS place FROM stocks_real_time) AS tick
                WHERE symbol = $1 AND time >= $2 AND time < $3
                    -- Of a single minute, the planner drops this, and estimates better.
                    AND ($3 - $2 <= INTERVAL '1 minute' OR time >= minute AND time < minute + INTERVAL '1 minute')
                -- A row by hand may have no price.
                GROUP BY feed, updates, conditions, price IS NULL
            ) AS counted
        ),
        -- Four prices or none: a minute without a tick that may open or close has none, and gives none to its hour.
        minutes AS MATERIALIZED (
            SELECT
                minute,
                bool_or(opens) AS has_prices,
                first(first_place, first_place) FILTER (WHERE opens) AS open_place,
                last(last_place, last_place) FILTER (WHERE opens) AS close_place,
                max(high) FILTER (WHERE extends) AS high,
                min(low) FILTER (WHERE extends) AS low,
                sum(volume) FILTER (WHERE counts) AS volume,
                last(day_volume, day_volume_place) FILTER (WHERE day_volume IS NOT NULL AND counts) AS day_volume,
                sum(ticks) AS tick_count,
                sum(ticks) FILTER (WHERE extends) AS price_count
            FROM grouped
            GROUP BY minute
        ),
        candle AS MATERIALIZED (
            SELECT
                first(open_place, minute) FILTER (WHERE has_prices) AS open_place,
                first(minute, minute) FILTER (WHERE has_prices) AS open_minute,
                last(close_place, minute) FILTER (WHERE has_prices) AS close_place,
                last(minute, minute) FILTER (WHERE has_prices) AS close_minute,
                max(high) FILTER (WHERE has_prices) AS high,
                min(low) FILTER (WHERE has_prices) AS low,
                sum(volume) AS volume,
                last(day_volume, minute) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
                sum(tick_count)::bigint AS tick_count,
                coalesce(sum(price_count) FILTER (WHERE has_prices), 0)::bigint AS price_count
            FROM minutes
        ),
        -- The groups that did not form a price, and came before the open, after the close, above the high or below the low.
        left_out AS MATERIALIZED (
            SELECT
                grouped.*,
                NOT (opens AND has_prices) AND (candle.open_place IS NULL OR grouped.first_place < candle.open_place) AS before_open,
                NOT (opens AND has_prices) AND (candle.close_place IS NULL OR grouped.last_place > candle.close_place) AS after_close,
                NOT (extends AND has_prices) AND (candle.high IS NULL OR grouped.high > candle.high) AS above,
                NOT (extends AND has_prices) AND (candle.low IS NULL OR grouped.low < candle.low) AS below
            FROM grouped
            JOIN minutes USING (minute)
            CROSS JOIN candle
            WHERE grouped.low IS NOT NULL
        ),
        -- The ticks to show, and the minute that each is in: by its place in the order, or the first one with this price.
        sought (price_of, reason, minute, place, price) AS MATERIALIZED (
            SELECT 'open', NULL, open_minute, open_place, NULL::double precision FROM candle WHERE open_place IS NOT NULL
            UNION ALL
            SELECT 'close', NULL, close_minute, close_place, NULL FROM candle WHERE close_place IS NOT NULL
            UNION ALL
            (SELECT 'high', NULL, minute, NULL, high FROM minutes JOIN candle USING (high) WHERE has_prices ORDER BY minute LIMIT 1)
            UNION ALL
            (SELECT 'low', NULL, minute, NULL, low FROM minutes JOIN candle USING (low) WHERE has_prices ORDER BY minute LIMIT 1)
            UNION ALL
            (SELECT DISTINCT ON (reason) 'open', reason, minute, first_place, NULL FROM left_out WHERE before_open ORDER BY reason, first_place)
            UNION ALL
            (SELECT DISTINCT ON (reason) 'close', reason, minute, last_place, NULL FROM left_out WHERE after_close ORDER BY reason, last_place DESC)
            UNION ALL
            (SELECT DISTINCT ON (reason) 'high', reason, minute, NULL, high FROM left_out WHERE above ORDER BY reason, high DESC, minute)
            UNION ALL
            (SELECT DISTINCT ON (reason) 'low', reason, minute, NULL, low FROM left_out WHERE below ORDER BY reason, low, minute)
        ),
        candidate AS MATERIALIZED (
            SELECT minute, tick.*
            FROM (SELECT DISTINCT minute FROM sought) AS minutes_of
            CROSS JOIN LATERAL (
                SELECT
                    time, price, size, exchange, trade_id, tick_id, place, feed, received_at, conditions,
                    price IS NOT NULL AND coalesce(updates, 7) & 25 = 1 AS opens,
                    price IS NOT NULL AND coalesce(updates, 7) & 26 = 2 AS extends,
                    CASE WHEN updates & 16 > 0 THEN 'secondary' WHEN updates & 8 > 0 THEN 'cancelled' ELSE 'conditions' END AS reason
                FROM (SELECT *, ticks_platform.tick_order(time, tick_id) AS place FROM stocks_real_time) AS stored
                WHERE symbol = $1 AND time >= $2 AND time < $3
                    AND ($3 - $2 <= INTERVAL '1 minute' OR time >= minute AND time < minute + INTERVAL '1 minute')
                    AND (
                        price = ANY ((SELECT array_agg(price) FROM sought WHERE price IS NOT NULL)::double precision[])
                        OR place = ANY ((SELECT array_agg(place) FROM sought WHERE place IS NOT NULL)::uuid[])
                    )
            ) AS tick
        ),
        shown AS MATERIALIZED (
            SELECT DISTINCT ON (price_of, sought.reason)
                price_of,
                sought.reason,
                candidate.place,
                jsonb_build_object(
                    'time', time, 'price', candidate.price, 'size', size, 'exchange', exchange, 'trade_id', trade_id,
                    'tick_id', candidate.tick_id, 'feed', feed, 'received_at', received_at,
                    'conditions', ticks_platform.explain_conditions(conditions, feed, time)
                ) AS tick
            FROM sought
            JOIN candidate ON candidate.minute = sought.minute
                AND (sought.place IS NULL OR candidate.place = sought.place)
                AND (
                    sought.price IS NULL
                    OR candidate.price = sought.price AND CASE
                        WHEN sought.reason IS NULL THEN extends
                        ELSE candidate.reason = sought.reason AND NOT (extends AND EXISTS (
                            SELECT FROM minutes WHERE minutes.minute = candidate.minute AND has_prices
                        ))
                    END
                )
            ORDER BY price_of, sought.reason, candidate.place
        ),
        cancelled AS MATERIALIZED (
            SELECT minute, feed, unnest(cancelled) AS tick_id FROM grouped
        ),
        taken_back AS MATERIALIZED (
            SELECT correction.*, cancelled.minute
            FROM tick_correction AS correction
            LEFT JOIN cancelled USING (tick_id)
            WHERE correction.tick_id = ANY (ARRAY(SELECT tick_id FROM cancelled))
                OR correction.tick_id IS NULL AND correction.symbol = $1 AND correction.time >= $2 AND correction.time < $3
            ORDER BY known_at DESC, correction_id
        )
        SELECT jsonb_build_object(
            'recomputed', jsonb_build_object(
                'open', (SELECT tick -> 'price' FROM shown WHERE price_of = 'open' AND reason IS NULL),
                'high', candle.high,
                'low', candle.low,
                'close', (SELECT tick -> 'price' FROM shown WHERE price_of = 'close' AND reason IS NULL),
                'volume', volume,
                'day_volume', day_volume,
                'tick_count', tick_count,
                'price_count', price_count
            ),
            'prices', (SELECT coalesce(jsonb_object_agg(price_of, tick), '{}') FROM shown WHERE reason IS NULL),
            'left_out', (
                SELECT coalesce(jsonb_agg(
                    tick || jsonb_build_object('would_be', price_of, 'reason', reason) ORDER BY reason, place, price_of
                ), '[]')
                FROM shown
                WHERE reason IS NOT NULL AND NOT EXISTS (
                    SELECT FROM shown AS chosen
                    WHERE chosen.reason IS NULL AND chosen.price_of = shown.price_of AND chosen.tick -> 'price' = shown.tick -> 'price'
                )
            ),
            'groups', (
                SELECT jsonb_agg(to_jsonb(by_use) ORDER BY ticks DESC)
                FROM (
                    SELECT
                        array_remove(ARRAY[
                            CASE WHEN opens THEN 'open_close' END, CASE WHEN extends THEN 'high_low' END, CASE WHEN counts THEN 'volume' END
                            ], NULL) AS may_change,
                        CASE WHEN reason <> 'conditions' THEN reason END AS reason,
                        sum(ticks)::bigint AS ticks,
                        sum(volume) AS volume,
                        min(low) AS low,
                        max(high) AS high
                    FROM grouped
                    GROUP BY opens, extends, counts, 2
                ) AS by_use
            ),
            'conditions', (
                SELECT jsonb_agg(to_jsonb(by_set) - 'raw' - 'feed' ORDER BY ticks DESC, raw)
                FROM (
                    SELECT
                        conditions AS raw,
                        feed,
                        ticks_platform.explain_conditions(conditions, feed, $2) AS conditions,
                        may_change, reason, ticks, volume, low, high
                    FROM (
                        SELECT
                            conditions,
                            min(feed) AS feed,
                            array_remove(ARRAY[
                                CASE WHEN opens THEN 'open_close' END, CASE WHEN extends THEN 'high_low' END, CASE WHEN counts THEN 'volume' END
                                ], NULL) AS may_change,
                            CASE WHEN reason <> 'conditions' THEN reason END AS reason,
                            sum(ticks)::bigint AS ticks,
                            sum(volume) AS volume,
                            min(low) AS low,
                            max(high) AS high
                        FROM grouped
                        GROUP BY conditions, opens, extends, counts, 4
                        ORDER BY sum(ticks) DESC, conditions
                        LIMIT $5
                    ) AS most
                ) AS by_set
            ),
            'condition_sets', (SELECT count(*) FROM (SELECT DISTINCT conditions, opens, extends, counts, reason FROM grouped) AS sets),
            'minutes', (SELECT count(*) FROM minutes),
            'minutes_without_prices', (SELECT count(*) FROM minutes WHERE NOT has_prices),
            'feeds', (
                SELECT jsonb_agg(to_jsonb(by_feed) ORDER BY secondary, ticks DESC)
                FROM (
                    SELECT
                        feed, reason = 'secondary' AS secondary, sum(ticks)::bigint AS ticks, sum(volume) AS volume,
                        min(low) AS low, max(high) AS high
                    FROM grouped
                    GROUP BY feed, reason = 'secondary'
                ) AS by_feed
            ),
            'late', (
                SELECT jsonb_build_object('since', $4, 'ticks', sum(late)::bigint, 'last_received_at', max(received_at)) FROM grouped
            ),
            'taken_back', (SELECT count(*) FROM cancelled),
            'corrections', (
                SELECT coalesce(jsonb_agg(
                    jsonb_build_object(
                        'kind', kind, 'time', time, 'price', price, 'size', size, 'exchange', exchange, 'trade_id', trade_id,
                        'feed', feed, 'tick_id', tick_id, 'known_at', known_at, 'source', source,
                        'conditions', ticks_platform.explain_conditions(conditions, feed, time),
                        'replaced_by', replaced_by
                    )
                    ORDER BY known_at DESC, correction_id
                ), '[]')
                FROM (SELECT * FROM taken_back LIMIT $5) AS correction
                LEFT JOIN LATERAL (
                    SELECT jsonb_build_object('time', tick.time, 'price', tick.price, 'size', tick.size, 'tick_id', tick.tick_id) AS replaced_by
                    FROM stocks_real_time AS tick
                    WHERE correction.kind = 'corrected' AND tick.symbol = $1 AND tick.time >= $2 AND tick.time < $3
                        AND tick.time >= correction.minute AND tick.time < correction.minute + INTERVAL '1 minute'
                        AND tick.trade_id = correction.trade_id AND tick.exchange IS NOT DISTINCT FROM correction.exchange
                        AND tick.feed = correction.feed AND coalesce(tick.updates, 7) & 8 = 0
                    ORDER BY ticks_platform.tick_order(tick.time, tick.tick_id) DESC
                    LIMIT 1
                ) AS corrected ON true
            )
        )
        FROM candle
        WHERE tick_count > 0
    $query$
    INTO found
    USING of_symbol, begins, ends, late_from, listed;
    RETURN found;
END
$$;

COMMENT ON FUNCTION ticks_platform.explain_ticks IS 'What the ticks of a symbol make of a time, and why. explain_candle has the rest.';
