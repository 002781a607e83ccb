-- Deletes rows of the old name for which the new name has one with the same key: it is newer.
DELETE FROM {table} AS old
USING {table} AS new
WHERE {same} AND old.symbol = %(old)s AND new.symbol = %(new)s AND {feeds};
