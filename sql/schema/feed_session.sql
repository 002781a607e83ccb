-- The history of each feed's connections: every change of state and every notice from the provider.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_session (
    feed        text        NOT NULL REFERENCES ticks_platform.feed,
    epoch       bigint      NOT NULL,
    connection  integer     NOT NULL,
    at          timestamptz NOT NULL,
    state       text        NOT NULL,
    detail      text        NOT NULL
);
CREATE INDEX IF NOT EXISTS feed_session_feed_at_idx ON ticks_platform.feed_session (feed, at DESC);
