-- The calendars of every symbol in feeds.yaml. One that left feeds.yaml stays until another feed has it: its candles stay, and so do
-- its session days.
CREATE TABLE IF NOT EXISTS ticks_platform.symbol_calendar (
    feed      text  NOT NULL,
    -- As the ticks call it.
    symbol    text  NOT NULL,
    -- The market's regular hours: as in market_session, or `always`.
    calendar  text  NOT NULL,
    -- The provider's sending hours, in which data can be missing: as in market_session, or `always`. NULL in rows of older releases,
    -- until the asset market_calendar is materialized.
    hours     text,
    PRIMARY KEY (feed, symbol)
);

-- For tables of releases without sending hours.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.symbol_calendar'::regclass AND attname = 'hours'
    ) THEN
        ALTER TABLE ticks_platform.symbol_calendar ADD COLUMN hours text;
    END IF;
END
$$;

CREATE INDEX IF NOT EXISTS symbol_calendar_symbol_idx ON ticks_platform.symbol_calendar (symbol);
