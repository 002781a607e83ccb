-- How many ticks, quotes and bars had an optional field that could not be read. They are stored without it: it costs no price. Added to
-- in the transaction that stores them.
CREATE TABLE IF NOT EXISTS ticks_platform.malformed_field (
    feed              text        NOT NULL REFERENCES ticks_platform.feed,
    -- UTC day of arrival.
    day               date        NOT NULL,
    -- As the provider calls it.
    field             text        NOT NULL,
    -- How many had a value in it that could not be read.
    events            bigint      NOT NULL CHECK (events > 0),
    last_received_at  timestamptz NOT NULL,
    PRIMARY KEY (feed, day, field)
);
