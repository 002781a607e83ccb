-- Compressed chunks that have no seal and are over, without rows beside their batches: chunk, relation, batches, rows, identity.
SELECT chunk, relation, batches, rows, identity
FROM ticks_platform.chunk_identities(can_be_sealed => true)
WHERE NOT has_rows;
