-- What the providers' reference APIs answered of the symbols in feeds.yaml, and when they are to be asked again.
CREATE TABLE IF NOT EXISTS ticks_platform.instrument_reference (
    feed         text         NOT NULL,
    -- As the ticks have it.
    symbol       text         NOT NULL,
    -- What was asked for: the provider's spelling, as in feeds.yaml.
    asked        text         NOT NULL,
    -- Of the last answer; NULL where the provider does not tell.
    asset_class  text,
    mic          text,
    currency     text,
    round_lot    double precision,
    answered_at  timestamptz,
    -- Why there is no newer answer; NULL after one.
    problem      text,
    ask_after    timestamptz  NOT NULL,
    PRIMARY KEY (feed, symbol)
);
