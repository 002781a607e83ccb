-- Privileges on a candle of roles other than its owner.
SELECT
    CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    privilege_type,
    is_grantable
FROM pg_class, aclexplode(relacl)
WHERE pg_class.oid = %(candle)s::regclass AND grantee <> relowner
ORDER BY 1, 2;
