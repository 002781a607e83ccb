-- Which of these trades are stored: those that equal more stored ones than precede them in their delivery. Of a connection of an earlier
-- owner, those also precede that were committed when this owner took its journal: the lower half of a tick_id has the position in it.
SELECT place
FROM unnest(%(places)s::int[], %(symbols)s::text[], %(exchanges)s::text[], %(trade_ids)s::text[], %(times)s::timestamptz[],
    %(prices)s::double precision[], %(sizes)s::double precision[], %(conditions)s::text[], %(numbers)s::int[],
    %(epochs)s::bigint[], %(connections)s::int[])
    AS asked (place, symbol, exchange, trade_id, time, price, size, conditions, number, epoch, connection)
LEFT JOIN ticks_platform.feed_ledger AS begun
    ON begun.feed = %(feed)s AND begun.epoch = asked.epoch AND begun.connection = asked.connection
CROSS JOIN LATERAL (
    SELECT
        count(*) AS stored,
        count(*) FILTER (
            -- One id for all may as well be a frame that was sent again, which counts as such.
            WHERE asked.trade_id IS NULL
                AND stored.received_at BETWEEN begun.first_received_at AND begun.last_received_at
                AND place_in_journal.bits & 65535 = %(journal)s
                AND place_in_journal.bits >> 16 < %(committed)s
        ) AS committed
    FROM stocks_real_time AS stored
    CROSS JOIN LATERAL (
        SELECT
            ('x' || right(replace(stored.tick_id::text, '-', ''), 16))::bit(64)::bigint
            & 4611686018427387903 AS bits
    ) AS place_in_journal
    WHERE stored.symbol = asked.symbol AND stored.time = asked.time
        -- Lets the planner leave out other chunks.
        AND stored.time >= %(first)s AND stored.time <= %(last)s
        AND stored.exchange IS NOT DISTINCT FROM asked.exchange AND stored.feed = %(feed)s
        AND nullif(stored.trade_id, '') IS NOT DISTINCT FROM asked.trade_id
        AND stored.price = asked.price AND stored.size IS NOT DISTINCT FROM asked.size
        AND coalesce(stored.conditions, '{}') @> asked.conditions::smallint[]
        AND coalesce(stored.conditions, '{}') <@ asked.conditions::smallint[]
) AS equal
WHERE asked.number + equal.committed < equal.stored;
