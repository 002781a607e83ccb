-- Takes one tick back. Symbol and time are constants, so that of a compressed chunk only one batch is decompressed.
UPDATE stocks_real_time
SET updates = coalesce(updates, 7) | 8
WHERE symbol = %(symbol)s AND time = %(time)s AND tick_id = %(tick_id)s;
