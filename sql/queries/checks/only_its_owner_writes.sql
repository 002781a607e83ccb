-- Roles other than its owner that may write to a candle, and how.
SELECT
    CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END,
    string_agg(privilege_type, ', ' ORDER BY privilege_type)
FROM pg_class, aclexplode(relacl)
WHERE pg_class.oid = %(candle)s::regclass AND grantee <> relowner
    AND privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
GROUP BY 1
ORDER BY 1;
