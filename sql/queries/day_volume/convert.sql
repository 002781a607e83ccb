-- Converts the day_volume of a chunk's ticks.
UPDATE {chunk} SET day_volume = day_volume_whole WHERE day_volume IS NULL AND day_volume_whole IS NOT NULL;
