-- One writer per feed: whoever took the highest epoch. Every loading transaction checks its own epoch against this row.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_lease (
    feed          text        PRIMARY KEY REFERENCES ticks_platform.feed,
    epoch         bigint      NOT NULL,
    owner         text        NOT NULL,
    taken_at      timestamptz NOT NULL,
    heartbeat_at  timestamptz NOT NULL,
    released_at   timestamptz
);
