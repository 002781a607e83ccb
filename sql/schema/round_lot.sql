-- Round lots of instruments, each valid until the next one. US stocks have had lots by their price since 2025-11-03: 100 shares up to
-- 250 dollars, 40 up to 1,000, 10 up to 10,000 and 1 above, set each May and November.
CREATE TABLE IF NOT EXISTS round_lot (
    symbol      text              NOT NULL,
    valid_from  date              NOT NULL,
    round_lot   double precision  NOT NULL CHECK (round_lot > 0 AND round_lot < 'Infinity'),
    source      text              NOT NULL DEFAULT 'manual',
    PRIMARY KEY (symbol, valid_from)
);

COMMENT ON TABLE round_lot IS 'Round lots of instruments, by the day from which they are valid.';
COMMENT ON COLUMN round_lot.symbol IS 'Symbol, as the ticks have it.';
COMMENT ON COLUMN round_lot.valid_from IS 'First day of the lot; 0001-01-01 where feeds.yaml gives no day, and of a provider''s the day on which it was first seen.';
COMMENT ON COLUMN round_lot.round_lot IS 'Units of a round lot.';
COMMENT ON COLUMN round_lot.source IS 'feeds.yaml, the provider that said it, or manual.';
