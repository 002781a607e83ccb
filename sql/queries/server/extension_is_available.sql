-- Whether the server has TimescaleDB to offer, and whether it is loaded: created here, or its loader's setting is there.
SELECT
    EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb'),
    EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
    OR current_setting('timescaledb.disable_load', true) IS NOT NULL;
