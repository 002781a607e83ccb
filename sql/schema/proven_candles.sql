-- Candles of a minute that were found to be those of their ticks, by the time that was compared, of ten minutes at most. They are compared
-- again when they have another hash.
CREATE TABLE IF NOT EXISTS ticks_platform.proven_candles (
    -- Begin of the time that was compared.
    begins_at    timestamptz  NOT NULL PRIMARY KEY,
    -- Its end, in the same hour.
    ends_at      timestamptz  NOT NULL,
    -- How many candles there were.
    candles      bigint       NOT NULL,
    -- The sum of the hashes of what was compared of them.
    hash         numeric      NOT NULL,
    -- When they were compared with their ticks.
    proven_at    timestamptz  NOT NULL,
    -- When they had that hash last.
    looked_at    timestamptz  NOT NULL
);
