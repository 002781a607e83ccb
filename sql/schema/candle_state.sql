-- What is to be said of a candle of a time: final, proven, or why it is not: open, differs, gap or not_checked. `unproven` and `wrong` are of
-- the length of the candle.
-- With a body that is parsed, it becomes a part of the query that calls it.
CREATE OR REPLACE FUNCTION ticks_platform.candle_state(
    begins timestamptz, ends timestamptz, received tstzmultirange, missing tstzmultirange, unproven tstzmultirange, wrong tstzmultirange,
    trued_up tstzmultirange, trues_up boolean, is_settled boolean
) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN ends > now() THEN 'open'
        WHEN tstzrange(begins, ends) && wrong THEN 'differs'
        WHEN missing IS NOT NULL AND tstzrange(begins, ends) && missing OR NOT tstzrange(begins, ends) <@ received THEN 'gap'
        WHEN received IS NULL OR tstzrange(begins, ends) && unproven THEN 'not_checked'
        WHEN is_settled AND CASE
            WHEN trues_up THEN tstzrange(begins, ends) <@ trued_up
            -- What no provider corrects is final a day after its UTC day.
            ELSE time_bucket(INTERVAL '1 day', ends - INTERVAL '1 microsecond') + INTERVAL '48 hours' <= now()
        END THEN 'final'
        ELSE 'proven'
    END;
END;
