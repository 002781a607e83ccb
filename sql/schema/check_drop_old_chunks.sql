-- Checks the configuration of a retention job, when it is made and when it is altered by hand.
CREATE OR REPLACE FUNCTION ticks_platform.check_drop_old_chunks(config jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF to_regclass(config ->> 'hypertable') IS NULL OR coalesce((config ->> 'drop_after')::interval <= INTERVAL '0', true) THEN
        RAISE EXCEPTION 'a retention job needs an existing hypertable and an interval drop_after, not %', config;
    END IF;
END
$$;
