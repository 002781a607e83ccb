-- Whether a chunk is in the columnstore. The lock keeps it as it is until the end of the transaction; ticks can be inserted.
LOCK TABLE {chunk} IN ROW EXCLUSIVE MODE;
SELECT is_compressed
FROM timescaledb_information.chunks
WHERE format('%%I.%%I', chunk_schema, chunk_name) = %(chunk)s;
