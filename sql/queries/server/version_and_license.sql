-- Version and license of the TimescaleDB in this database.
SELECT extversion, current_setting('timescaledb.license', true)
FROM pg_extension
WHERE extname = 'timescaledb';
