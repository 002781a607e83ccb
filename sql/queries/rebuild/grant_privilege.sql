GRANT {privilege} ON {candle} TO {grantee};
