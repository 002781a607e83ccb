-- Checks the configuration of the job of the notes' retention, when it is made and when it is altered by hand.
CREATE OR REPLACE FUNCTION ticks_platform.check_delete_old_notes(config jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM jsonb_each_text(config) AS term WHERE key <> 'hypertable' AND coalesce(value::interval <= INTERVAL '0', true)
    ) THEN
        RAISE EXCEPTION 'a job that deletes old notes needs intervals above zero, not %', config;
    END IF;
END
$$;
