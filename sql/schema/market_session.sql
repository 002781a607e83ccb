-- When the exchanges of the symbols are open, and when the providers send, by their calendars: from some days before the first tick to a
-- year ahead. A day with a break at noon has two rows with the same session. What never closes, the calendar `always`, has no rows.
CREATE TABLE IF NOT EXISTS ticks_platform.market_session (
    -- An exchange's MIC, such as XNYS, or 24/5 for currencies; with sending hours, as in `XNYS 04:00-20:00`.
    calendar   text         NOT NULL,
    opens_at   timestamptz  NOT NULL,
    closes_at  timestamptz  NOT NULL,
    -- The trading day, as dated by the exchange: one that opens in the evening has the date of the next day.
    session    date         NOT NULL,
    -- Begin of the whole trading day, extended hours included: midnight of the exchange's time zone, or the opening if that is earlier,
    -- but not before the closing of the day before. NULL in rows of older releases, until the asset market_calendar is materialized.
    day_begins_at  timestamptz,
    -- Its end: the next midnight, or the closing if that is later, but not after the next day's opening.
    day_ends_at    timestamptz,
    PRIMARY KEY (calendar, opens_at),
    CONSTRAINT closes_after_it_opens CHECK (closes_at > opens_at)
);

-- For tables of releases without the whole day.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.market_session'::regclass AND attname = 'day_ends_at'
    ) THEN
        ALTER TABLE ticks_platform.market_session ADD COLUMN day_begins_at timestamptz, ADD COLUMN day_ends_at timestamptz;
    END IF;
END
$$;
