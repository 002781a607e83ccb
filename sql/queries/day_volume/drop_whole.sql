-- Drops the column of an older release, with what filled it.
DROP TRIGGER IF EXISTS keep_day_volume_whole ON stocks_real_time;
ALTER TABLE stocks_real_time DROP COLUMN day_volume_whole;
