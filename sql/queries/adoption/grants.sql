-- The statements that grant the privileges that other roles than the owner have on a relation.
SELECT format(
    'GRANT %%s ON %%s TO %%s%%s',
    privilege_type,
    pg_class.oid::regclass,
    CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
)
FROM pg_class, aclexplode(relacl)
WHERE pg_class.oid = to_regclass(%(relation)s) AND grantee <> relowner
ORDER BY 1;
