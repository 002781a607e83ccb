-- Rows that a rename cannot change, since the new name has one with the same key.
SELECT count(*)
FROM {table} AS old
JOIN {table} AS new ON {same}
WHERE old.symbol = %(old)s AND new.symbol = %(new)s AND {feeds};
