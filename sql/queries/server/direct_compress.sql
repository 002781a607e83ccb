-- Version of TimescaleDB, whether it has the setting for a COPY that compresses, and whether the ticks have a columnstore.
SELECT
    extversion,
    current_setting('timescaledb.enable_direct_compress_copy', true) IS NOT NULL,
    EXISTS (
        SELECT FROM timescaledb_information.hypertables
        WHERE hypertable_schema = current_schema() AND hypertable_name = 'stocks_real_time' AND compression_enabled
    )
FROM pg_extension
WHERE extname = 'timescaledb';
