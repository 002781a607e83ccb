-- Whether this role may change the platform's tables: it owns their schema, or that does not exist yet.
SELECT coalesce(bool_and(pg_has_role(nspowner, 'USAGE')), true) FROM pg_namespace WHERE nspname = 'ticks_platform';
