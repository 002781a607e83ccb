-- The state of each channel that a feed subscribed to: streamed, refused by the provider, or silent.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_channel (
    feed     text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the provider names it: a symbol, or a channel of a symbol such as T.AAPL.
    channel  text        NOT NULL,
    -- subscribed | failed | silent
    state    text        NOT NULL,
    since    timestamptz NOT NULL,
    detail   text        NOT NULL,
    PRIMARY KEY (feed, channel)
);
