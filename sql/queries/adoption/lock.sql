-- Keeps everybody else out, for as long as the transaction lasts.
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;
