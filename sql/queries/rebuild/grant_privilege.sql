-- Grants a privilege on a candle.
GRANT {privilege} ON {candle} TO {grantee};
