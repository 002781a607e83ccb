-- Requests to providers' REST APIs in the last days. They are counted before they are made, so neither a restart nor a crash renews a
-- budget.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_repair_request (
    request_id  bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- Provider, and the name of the variable that holds the key: limits apply to these.
    account     text        NOT NULL,
    -- NULL of a request for something else than ticks.
    repair_id   bigint      REFERENCES ticks_platform.feed_repair,
    -- Who made it.
    owner       text        NOT NULL,
    at          timestamptz NOT NULL,
    -- What came of it; NULL while it is under way, or when its run was killed.
    outcome     text,
    -- The provider accepts no other request before this time.
    pause_until timestamptz,
    -- What it uses of the limits.
    credits     integer     NOT NULL DEFAULT 1
);

-- For tables of releases that counted requests of repairs only.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_repair_request'::regclass AND attname = 'credits'
    ) THEN
        ALTER TABLE ticks_platform.feed_repair_request
            ADD COLUMN credits integer NOT NULL DEFAULT 1,
            ALTER COLUMN repair_id DROP NOT NULL;
    END IF;
END
$$;

CREATE INDEX IF NOT EXISTS feed_repair_request_at_idx ON ticks_platform.feed_repair_request (account, at DESC);
