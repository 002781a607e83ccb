-- The symbols that the feeds stream, and the names that people know them by.
CREATE TABLE IF NOT EXISTS company (
    symbol  text PRIMARY KEY,
    name    text NOT NULL
);

COMMENT ON TABLE company IS 'Symbols and their names.';
COMMENT ON COLUMN company.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN company.name IS 'Name that people know it by.';
