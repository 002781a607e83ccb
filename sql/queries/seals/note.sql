-- Notes compressed chunks that are not sealed, as they are; forgets those that are others now. Returns those of before that are the same, and
-- when they were noted.
WITH given AS (
    SELECT *
    FROM unnest(
        %(chunks)s::text[], %(relations)s::text[], %(batches)s::bigint[], %(rows)s::bigint[], %(identities)s::bigint[]
    ) AS given (chunk, relation, batches, rows, identity)
),
same AS MATERIALIZED (
    SELECT chunk, relation, batches, rows, identity, noted_at
    FROM ticks_platform.unsealed_chunk
    JOIN given USING (chunk, relation, batches, rows, identity)
),
forgotten AS (DELETE FROM ticks_platform.unsealed_chunk WHERE chunk NOT IN (SELECT chunk FROM given)),
noted AS (
    INSERT INTO ticks_platform.unsealed_chunk (chunk, relation, batches, rows, identity, noted_at)
    SELECT chunk, relation, batches, rows, identity, clock_timestamp()
    FROM given
    WHERE chunk NOT IN (SELECT chunk FROM same)
    ORDER BY chunk
    ON CONFLICT (chunk) DO UPDATE
    SET relation = excluded.relation, batches = excluded.batches, rows = excluded.rows, identity = excluded.identity, noted_at = excluded.noted_at
)
SELECT chunk, relation, batches, rows, identity, noted_at FROM same;
