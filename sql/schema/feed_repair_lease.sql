-- One repair of a feed at a time, as feed_lease does for its ingestion. The two run beside each other.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_repair_lease (
    feed          text        PRIMARY KEY REFERENCES ticks_platform.feed,
    epoch         bigint      NOT NULL,
    owner         text        NOT NULL,
    taken_at      timestamptz NOT NULL,
    heartbeat_at  timestamptz NOT NULL,
    released_at   timestamptz
);
