-- Seals chunks that are what they were before their hours were read: if all of these are over, and were proven, as they are now, since then.
-- Returns how many.
WITH given AS (
    SELECT *
    FROM unnest(
        %(chunks)s::text[], %(relations)s::text[], %(batches)s::bigint[], %(rows)s::bigint[], %(identities)s::bigint[], %(since)s::timestamptz[]
    ) AS given (chunk, relation, batches, rows, identity, since)
),
sealed AS (
    INSERT INTO ticks_platform.sealed_chunk (chunk, begins_at, ends_at, relation, batches, rows, identity, sealed_at, seen_at)
    SELECT chunk, begins_at, ends_at, relation, batches, rows, identity, now(), now()
    FROM given
    JOIN ticks_platform.chunk_identities(can_be_sealed => true) AS found USING (chunk, relation, batches, rows, identity)
    WHERE NOT has_rows
        AND NOT EXISTS (
            SELECT
            FROM ticks_platform.feed_hour AS counted
            LEFT JOIN ticks_platform.proven_hour AS proven USING (feed, hour)
            WHERE destination = 'stocks_real_time' AND feed <> 'manual' AND loaded > gone
                AND hour < ends_at AND hour + INTERVAL '1 hour' > begins_at
                AND (proven.rows = loaded - gone AND proven.fingerprint = counted.fingerprint AND proven_at >= since) IS NOT true
        )
        AND NOT EXISTS (
            SELECT FROM ticks_platform.wrong_hour WHERE hour < ends_at AND hour + INTERVAL '1 hour' > begins_at
        )
    ON CONFLICT (chunk) DO NOTHING
    RETURNING chunk
)
SELECT count(*) FROM sealed;
