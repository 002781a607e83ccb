-- The symbols that the feeds stream, and the names that people know them by.
CREATE TABLE IF NOT EXISTS company (
    symbol  text PRIMARY KEY,
    name    text NOT NULL
);
