-- When each symbol of a feed was in feeds.yaml: at other times, nothing of it can be missing. A change of its hours begins a row, whose
-- time touches that of the row before.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_symbol (
    feed          text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol        text        NOT NULL,
    wanted_from   timestamptz NOT NULL,
    -- NULL while it is in feeds.yaml.
    wanted_until  timestamptz,
    -- The calendar of the provider's sending hours: `always`, or as in market_session. At other times, nothing can be missing.
    calendar      text        NOT NULL,
    -- Why the provider does not stream it, in the provider's words; NULL when it does, or has not answered.
    refusal       text,
    PRIMARY KEY (feed, symbol, wanted_from)
);
