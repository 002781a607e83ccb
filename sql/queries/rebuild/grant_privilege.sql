-- Grants a privilege on a candle or view.
GRANT {privilege} ON {relation} TO {grantee};
