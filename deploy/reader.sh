#!/bin/sh
# Run once, when the database is made: the user that Grafana reads ticks and candles as. What it may read, the asset
# `reader` grants: compose.yaml names it in TICKS_READER_ROLE.
set -e
psql -v ON_ERROR_STOP=1 -v password="$TICKS_GRAFANA_DB_PASSWORD" -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
CREATE ROLE grafana LOGIN PASSWORD :'password' CONNECTION LIMIT 20;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
SQL
