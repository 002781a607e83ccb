-- Splits and dividends, in every version that was known. A version is in force until the next one, or until the provider no longer has
-- the action. Ticks are never adjusted: views of candles read this table. Rows of one's own have the source `manual`.
CREATE TABLE IF NOT EXISTS corporate_action (
    symbol          text              NOT NULL,
    kind            text              NOT NULL CHECK (kind IN ('split', 'dividend')),
    -- The first day that trades with it, its pre-market included; of a dividend, the ex-date.
    execution_date  date              NOT NULL,
    split_from      double precision,
    split_to        double precision,
    cash_amount     double precision,
    currency        text,
    historical_adjustment_factor  double precision,
    price_factor    double precision  CHECK (price_factor > 0 AND price_factor < 'Infinity'),
    -- Empty for rows without a provider.
    provider_id     text              NOT NULL DEFAULT '',
    source          text              NOT NULL DEFAULT 'manual',
    known_at        timestamptz       NOT NULL DEFAULT now(),
    superseded_at   timestamptz,
    CONSTRAINT split_has_ratio CHECK (
        kind <> 'split'
        OR (split_from IS NOT NULL AND split_to IS NOT NULL AND split_from > 0 AND split_to > 0 AND split_from < 'Infinity' AND split_to < 'Infinity')
    ),
    CONSTRAINT dividend_has_amount CHECK (
        kind <> 'dividend' OR (cash_amount IS NOT NULL AND cash_amount >= 0 AND cash_amount < 'Infinity')
    ),
    CONSTRAINT superseded_after_known CHECK (superseded_at >= known_at)
);

-- One version of an action is in force at a time.
CREATE UNIQUE INDEX IF NOT EXISTS corporate_action_in_force_idx
    ON corporate_action (symbol, kind, execution_date, source, provider_id) WHERE superseded_at IS NULL;

COMMENT ON TABLE corporate_action IS 'Splits and dividends: a row per version; superseded_at is empty in those that are in force.';
COMMENT ON COLUMN corporate_action.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN corporate_action.kind IS 'split (also reverse splits and stock dividends) or dividend (in cash).';
COMMENT ON COLUMN corporate_action.execution_date IS 'First day that trades with it, pre-market included; the ex-date of a dividend.';
COMMENT ON COLUMN corporate_action.split_from IS 'Shares before the split: 1 of a split 4:1, 20 of a reverse split 1:20.';
COMMENT ON COLUMN corporate_action.split_to IS 'Shares after the split: 4 of a split 4:1, 1 of a reverse split 1:20.';
COMMENT ON COLUMN corporate_action.cash_amount IS 'Dividend per share, in its currency, as declared.';
COMMENT ON COLUMN corporate_action.currency IS 'Currency of the dividend.';
COMMENT ON COLUMN corporate_action.historical_adjustment_factor IS 'The provider''s factor for prices before execution_date, newer actions of the same kind included. It changes with each newer action, which makes no new version.';
COMMENT ON COLUMN corporate_action.price_factor IS 'Of a dividend without a factor of the provider: what prices before it are multiplied by because of it alone, 1 - cash_amount / the close before, computed by the asset corporate_actions.';
COMMENT ON COLUMN corporate_action.provider_id IS 'The provider''s id of the action, or what identifies it where there is none.';
COMMENT ON COLUMN corporate_action.source IS 'Provider that said it, or manual.';
COMMENT ON COLUMN corporate_action.known_at IS 'When this version was learned of.';
COMMENT ON COLUMN corporate_action.superseded_at IS 'When another version was known, or that there is no such action; empty while it is in force.';
