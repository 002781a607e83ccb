-- The symbols that the feeds stream, and the names of their companies.
CREATE TABLE IF NOT EXISTS company (
    symbol  text PRIMARY KEY,
    name    text NOT NULL
);

COMMENT ON TABLE company IS 'Symbols and the names of their companies.';
COMMENT ON COLUMN company.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN company.name IS 'Name of the company or instrument.';
