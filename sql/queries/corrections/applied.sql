-- The tick that a correction waited for has come: what it had before.
UPDATE tick_correction
SET tick_id = %(tick_id)s, price = %(price)s, size = %(size)s, updates = %(updates)s, conditions = %(conditions)s
WHERE correction_id = %(correction_id)s;
