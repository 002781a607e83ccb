-- When the exchanges of the symbols are open, by their calendars: from some days before the first tick to a year ahead. A day with a
-- break at noon has two rows with the same session. What never closes, the calendar `always`, has no rows.
CREATE TABLE IF NOT EXISTS ticks_platform.market_session (
    -- An exchange's MIC, such as XNYS, or 24/5 for currencies.
    calendar   text         NOT NULL,
    opens_at   timestamptz  NOT NULL,
    closes_at  timestamptz  NOT NULL,
    -- The trading day, as dated by the exchange: one that opens in the evening has the date of the next day.
    session    date         NOT NULL,
    PRIMARY KEY (calendar, opens_at),
    CONSTRAINT closes_after_it_opens CHECK (closes_at > opens_at)
);
