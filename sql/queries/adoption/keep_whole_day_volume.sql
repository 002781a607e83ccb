-- What reads the volume as a whole number follows the old column, which is filled for as long as it is there.
ALTER TABLE stocks_real_time RENAME COLUMN day_volume TO day_volume_whole;
ALTER TABLE stocks_real_time ADD COLUMN day_volume double precision;
COMMENT ON COLUMN stocks_real_time.day_volume_whole IS 'day_volume without its fractions, for what read it before the adoption.';
CREATE TRIGGER keep_day_volume_whole BEFORE INSERT ON stocks_real_time FOR EACH ROW
    WHEN (NEW.day_volume IS NOT NULL)
    EXECUTE FUNCTION ticks_platform.keep_day_volume_whole({largest});
