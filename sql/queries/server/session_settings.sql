-- The settings that the platform relies on, whatever environment, role and database say: for the session, or for the transaction.
-- A setting that this server does not know is left out, and so is one that has the value already.
SELECT set_config(name, value, %(local)s)
FROM (VALUES
    ('client_encoding', 'UTF8'),
    ('timezone', 'UTC'),
    ('datestyle', 'ISO, MDY'),
    ('intervalstyle', 'postgres'),
    ('extra_float_digits', '1'),
    ('bytea_output', 'hex'),
    ('standard_conforming_strings', 'on'),
    ('array_nulls', 'on'),
    ('transform_null_equals', 'off'),
    ('default_transaction_isolation', 'read committed'),
    ('default_transaction_deferrable', 'off'),
    -- A policy that hides rows is an error, and not a smaller answer.
    ('row_security', 'off'),
    -- How long a statement may take is the platform's to say: where it waits for locks, it sets a limit of its own.
    ('statement_timeout', '0'),
    ('lock_timeout', '0'),
    ('transaction_timeout', '0'),
    ('idle_session_timeout', '0'),
    ('idle_in_transaction_session_timeout', '1h'),
    -- A frame is deleted from the journal after its commit, which has to be on the disk then.
    ('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END),
    -- Without triggers, candles would not learn of what changes.
    ('session_replication_role', 'origin'),
    -- The tables are in `public`, unless they are elsewhere already, where the session finds them.
    ('search_path', CASE
        WHEN to_regclass('public.stocks_real_time') IS NULL AND to_regclass('stocks_real_time') IS NOT NULL
            THEN current_setting('search_path')
        ELSE concat_ws(', ', 'public', (
            SELECT quote_ident(nspname)
            FROM pg_extension
            JOIN pg_namespace ON pg_namespace.oid = extnamespace
            WHERE extname = 'timescaledb' AND nspname <> 'public'
        ))
    END)
) AS wanted (name, value)
WHERE current_setting(name, true) <> value;
