-- Compares each sealed chunk with what it was, and drops the seals of those that are not so: changed, compressed again, with rows beside
-- its batches, or gone. Returns the compressed chunks that have no seal: chunk, relation, batches, rows, identity.
WITH found AS MATERIALIZED (SELECT * FROM ticks_platform.chunk_identities(can_be_sealed => false)),
same AS MATERIALIZED (
    SELECT chunk
    FROM ticks_platform.sealed_chunk
    JOIN found USING (chunk, begins_at, ends_at, relation, batches, rows, identity)
    WHERE NOT has_rows
),
broken AS (DELETE FROM ticks_platform.sealed_chunk WHERE chunk NOT IN (SELECT chunk FROM same)),
seen AS (UPDATE ticks_platform.sealed_chunk SET seen_at = now() WHERE chunk IN (SELECT chunk FROM same))
SELECT chunk, relation, batches, rows, identity
FROM found
WHERE NOT has_rows AND chunk NOT IN (SELECT chunk FROM same);
