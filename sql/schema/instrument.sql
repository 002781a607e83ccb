-- What is known of the instruments that the symbols name. Rows of symbols in feeds.yaml are kept by the asset of this name; those of
-- other symbols are whoever's wrote them. Checks read it; a symbol without a row may not have a price of zero or less.
CREATE TABLE IF NOT EXISTS instrument (
    symbol           text         PRIMARY KEY,
    -- NULL where nobody has said it.
    asset_class      text         CHECK (asset_class IN (
        'stock', 'etf', 'fund', 'index', 'currency', 'crypto', 'commodity', 'future', 'option', 'bond', 'other'
    )),
    mic              text,
    currency         text,
    tick_size        double precision CHECK (tick_size > 0 AND tick_size < 'Infinity'),
    may_be_negative  boolean      NOT NULL DEFAULT false,
    calendar         text,
    hours            text,
    source           text         NOT NULL DEFAULT 'manual',
    changed_at       timestamptz  NOT NULL DEFAULT now()
);

COMMENT ON TABLE instrument IS 'What is known of the instruments that the symbols name.';
COMMENT ON COLUMN instrument.symbol IS 'Symbol, as the ticks have it.';
COMMENT ON COLUMN instrument.asset_class IS 'stock, etf, fund, index, currency (a pair), crypto, commodity (a spot price), future, option, bond or other.';
COMMENT ON COLUMN instrument.mic IS 'The exchange that lists it, by its MIC.';
COMMENT ON COLUMN instrument.currency IS 'Unit of its prices: a currency''s code, or GBX, ZAC and ILA for hundredths of pounds, rand and shekels.';
COMMENT ON COLUMN instrument.tick_size IS 'Smallest step of its price, in that unit.';
COMMENT ON COLUMN instrument.may_be_negative IS 'Whether its price may be zero or negative, as that of a future, a spread or an index.';
COMMENT ON COLUMN instrument.calendar IS 'Calendar of its regular hours.';
COMMENT ON COLUMN instrument.hours IS 'Calendar of the hours in which the provider sends it.';
COMMENT ON COLUMN instrument.source IS 'Who has said this, the first wins: feeds.yaml, a provider''s reference data, default for what its market lets expect; manual.';
COMMENT ON COLUMN instrument.changed_at IS 'When any of it last changed.';
