-- When the provider was last asked for splits and dividends of the symbols in feeds.yaml.
CREATE TABLE IF NOT EXISTS ticks_platform.corporate_action_check (
    -- The feed whose provider was asked.
    feed        text         NOT NULL,
    -- As the ticks have it.
    symbol      text         NOT NULL,
    -- When it answered; NULL if it has not.
    checked_at  timestamptz,
    -- When it was asked.
    asked_at    timestamptz  NOT NULL,
    -- Why there is no newer answer; NULL after one.
    problem     text,
    PRIMARY KEY (feed, symbol)
);
