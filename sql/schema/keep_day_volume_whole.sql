-- The trigger on ticks of an older release, whose day_volume was a whole number: fills the column that the old candles read. It
-- refuses what a loader of that release sends: eight bytes that are a whole number and not a fraction. Its argument is the largest value
-- of that column, if it is not a bigint.
CREATE OR REPLACE FUNCTION ticks_platform.keep_day_volume_whole()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF NEW.day_volume = 'NaN' OR (NEW.day_volume <> 0 AND abs(NEW.day_volume) < 1e-300) THEN
        RAISE EXCEPTION 'the day_volume of % was sent by an older release of ticks_platform', NEW.symbol
            USING HINT = 'Stop the processes of the older release. What they have received is in their journals.';
    END IF;
    NEW.day_volume_whole := CASE WHEN abs(NEW.day_volume) < coalesce(TG_ARGV[0]::double precision, 9e18) THEN NEW.day_volume END;
    RETURN NEW;
END
$$;
