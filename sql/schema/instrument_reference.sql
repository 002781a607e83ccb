-- What the providers' reference APIs answered of the symbols in feeds.yaml, and when they are to be asked again.
CREATE TABLE IF NOT EXISTS ticks_platform.instrument_reference (
    -- The feed whose provider was asked.
    feed         text         NOT NULL,
    -- As the ticks have it.
    symbol       text         NOT NULL,
    -- What was asked for: the provider's spelling, as in feeds.yaml.
    asked        text         NOT NULL,
    -- As in instrument; NULL where the provider does not tell.
    asset_class  text,
    -- As in instrument.
    mic          text,
    -- As in instrument.
    currency     text,
    -- Units of a round lot when it answered.
    round_lot    double precision,
    -- Whether the price may be zero or negative; NULL where the asset class decides.
    may_be_negative  boolean,
    -- When it answered; NULL if it has not.
    answered_at  timestamptz,
    -- Why there is no newer answer; NULL after one.
    problem      text,
    -- When it is asked again.
    ask_after    timestamptz  NOT NULL,
    PRIMARY KEY (feed, symbol)
);
