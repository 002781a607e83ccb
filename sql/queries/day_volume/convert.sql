-- Converts the day_volume of a chunk's ticks. The limit is for a chunk that a policy has just compressed.
SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
UPDATE {chunk} SET day_volume = day_volume_whole WHERE day_volume IS NULL AND day_volume_whole IS NOT NULL;
