-- Whether a chunk is in the columnstore; no row where the chunk is gone.
SELECT is_compressed
FROM timescaledb_information.chunks
WHERE format('%%I.%%I', chunk_schema, chunk_name) = %(chunk)s;
