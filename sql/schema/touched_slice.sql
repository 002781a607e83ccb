-- Ten minutes of ticks in which some came late, or were changed by a correction: what is known of them is read again. Only added to by those
-- who load, and only deleted by those who prove, so that neither waits for the other. A note that is missing costs the reading of the whole
-- hour, and nothing else.
CREATE TABLE IF NOT EXISTS ticks_platform.touched_slice (
    -- Begin of the ten minutes.
    begins_at  timestamptz  NOT NULL
);
