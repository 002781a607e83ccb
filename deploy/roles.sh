#!/bin/sh
# Run once, when the database is made, by its superuser: the roles of sql/grants/roles.sql, and the user that Grafana reads ticks and
# candles as. What that one may read, the asset `reader` grants: compose.yaml names it in TICKS_READER_ROLE.
set -e
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f /grants/roles.sql -f - <<'SQL'
\getenv owner TICKS_DB_PASSWORD
\getenv reader TICKS_GRAFANA_DB_PASSWORD
ALTER ROLE ticks PASSWORD :'owner';
CREATE ROLE grafana LOGIN PASSWORD :'reader' CONNECTION LIMIT 20;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
SQL
