-- Run by the owner after `bring_up`, and after each upgrade: lets ticks_writer ingest, and change no table. Candles are views, which it may
-- read alone: what is written to them would survive every refresh.
GRANT USAGE ON SCHEMA public, ticks_platform TO ticks_writer;

DO $$
DECLARE
    relation record;
BEGIN
    FOR relation IN
        SELECT oid::regclass AS name, relkind
        FROM pg_class
        WHERE relnamespace IN ('public'::regnamespace, 'ticks_platform'::regnamespace)
            AND relkind IN ('r', 'p', 'v', 'm', 'S') AND pg_has_role(relowner, 'MEMBER')
    LOOP
        EXECUTE format(
            'GRANT %s ON %s %s TO ticks_writer',
            CASE
                WHEN relation.relkind IN ('r', 'p') THEN 'SELECT, INSERT, UPDATE, DELETE'
                WHEN relation.relkind = 'S' THEN 'USAGE'
                ELSE 'SELECT'
            END,
            CASE WHEN relation.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
            relation.name
        );
    END LOOP;
END
$$;
