-- Run once by a superuser, in the database that is to have the ticks: `psql -d DATABASE -f sql/grants/roles.sql`. It makes the roles that
-- docs/operations/security.md describes, and may be repeated. Nobody can log in as them before they have a password:
-- `psql -c '\password ticks'`, and so for the others.
CREATE EXTENSION IF NOT EXISTS timescaledb;

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['ticks', 'ticks_writer', 'ticks_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', role);
        END IF;
    END LOOP;
    -- The owner creates the schema ticks_platform, and tables in public; the writer makes temporary tables.
    EXECUTE format('GRANT CONNECT, CREATE, TEMPORARY ON DATABASE %I TO ticks', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO ticks_writer', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO ticks_reader', current_database());
END
$$;
GRANT USAGE, CREATE ON SCHEMA public TO ticks;
-- A new run ends the connection of one that hangs, also where that one is the writer's.
GRANT ticks_writer TO ticks;

ALTER ROLE ticks_reader SET default_transaction_read_only = on;
ALTER ROLE ticks_reader SET statement_timeout = '30s';
ALTER ROLE ticks_reader CONNECTION LIMIT 20;
