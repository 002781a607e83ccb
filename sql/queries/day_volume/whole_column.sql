-- Whether the ticks still have the column of an older release, in which the volume of the day was a whole number.
SELECT count(*) FROM pg_attribute
WHERE attrelid = to_regclass('stocks_real_time') AND attname = 'day_volume_whole' AND NOT attisdropped;
