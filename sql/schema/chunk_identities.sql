-- The chunks of ticks that are in the columnstore, and what tells each from what it was: the relation of its batches, how many there are, of
-- how many rows, and where they are and which transactions wrote them, as one number; and whether there are rows beside them. Milliseconds for
-- ten million ticks. A chunk that is compressed meanwhile is left out. With `can_be_sealed`, only those that have no seal and are over.
-- That of releases without the argument would be another function.
DROP FUNCTION IF EXISTS ticks_platform.chunk_identities();

CREATE OR REPLACE FUNCTION ticks_platform.chunk_identities(can_be_sealed boolean DEFAULT false)
RETURNS TABLE (
    chunk text, begins_at timestamptz, ends_at timestamptz, relation text, batches bigint, rows bigint, identity bigint, has_rows boolean
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    FOR chunk, begins_at, ends_at, relation IN
        SELECT format('%I.%I', chunk_schema, chunk_name), range_start, range_end, compress_relid::regclass::text
        FROM timescaledb_information.chunks
        JOIN _timescaledb_catalog.compression_settings ON relid = format('%I.%I', chunk_schema, chunk_name)::regclass
        WHERE hypertable_schema = (
                SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                WHERE pg_class.oid = 'stocks_real_time'::regclass
            )
            AND hypertable_name = 'stocks_real_time' AND compress_relid IS NOT NULL
            AND NOT (can_be_sealed AND (
                range_end > now() - INTERVAL '2 minutes'
                OR EXISTS (SELECT FROM ticks_platform.sealed_chunk AS sealed WHERE sealed.chunk = format('%I.%I', chunk_schema, chunk_name))
            ))
        ORDER BY range_start
    LOOP
        BEGIN
            -- PostgreSQL 18 alone has a hash function for transaction ids.
            EXECUTE format(
                'SELECT count(*), coalesce(sum(_ts_meta_count), 0), '
                'coalesce(bit_xor(hashtidextended(ctid, hashint8extended(xmin::text::bigint, 0))), 0) FROM %s', relation
            )
            INTO batches, rows, identity;
            EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s)', chunk) INTO has_rows;
        EXCEPTION WHEN undefined_table THEN
            CONTINUE;
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION ticks_platform.chunk_identities IS 'The compressed chunks of ticks, each with a number that changes when anything of it does.';
