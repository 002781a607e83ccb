-- Whether a chunk holds ticks whose day_volume is not converted.
SELECT EXISTS (SELECT FROM {chunk} WHERE day_volume IS NULL AND day_volume_whole IS NOT NULL);
