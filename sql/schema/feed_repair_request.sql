-- Requests to providers' histories in the last days. They are counted before they are made, so neither a restart nor a crash renews a
-- budget.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_repair_request (
    request_id  bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- Provider, and the name of the variable that holds the key: limits apply to these.
    account     text        NOT NULL,
    repair_id   bigint      NOT NULL REFERENCES ticks_platform.feed_repair,
    -- Who made it.
    owner       text        NOT NULL,
    at          timestamptz NOT NULL,
    -- What came of it; NULL while it is under way, or when its run was killed.
    outcome     text,
    -- The provider accepts no other request before this time.
    pause_until timestamptz
);

CREATE INDEX IF NOT EXISTS feed_repair_request_at_idx ON ticks_platform.feed_repair_request (account, at DESC);
