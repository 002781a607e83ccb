-- The calendar of every symbol in feeds.yaml. One that left feeds.yaml stays until another feed has it: its candles stay, and so do
-- its session days.
CREATE TABLE IF NOT EXISTS ticks_platform.symbol_calendar (
    feed      text  NOT NULL,
    -- As the ticks call it.
    symbol    text  NOT NULL,
    -- As in market_session, or `always`.
    calendar  text  NOT NULL,
    PRIMARY KEY (feed, symbol)
);
CREATE INDEX IF NOT EXISTS symbol_calendar_symbol_idx ON ticks_platform.symbol_calendar (symbol);
