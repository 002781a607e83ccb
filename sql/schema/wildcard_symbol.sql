-- The symbols that came by a symbol which stands for many, such as Polygon's `*`: one row each, whatever their number of ticks. When they were
-- asked for and not received is what feed_symbol and feed_gap have of the one that stands for them.
CREATE TABLE IF NOT EXISTS ticks_platform.wildcard_symbol (
    feed      text  NOT NULL REFERENCES ticks_platform.feed,
    -- As feed_symbol has it.
    wildcard  text  NOT NULL,
    -- As the ticks call it.
    symbol    text  NOT NULL,
    PRIMARY KEY (symbol, feed, wildcard)
);

COMMENT ON TABLE ticks_platform.wildcard_symbol IS 'Symbols that came by one that stands for many.';
