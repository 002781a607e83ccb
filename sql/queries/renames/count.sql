-- How many rows of a table a rename changes.
SELECT count(*) FROM {table} WHERE symbol = %(old)s AND {feeds};
