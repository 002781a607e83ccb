-- Lets a role read the platform's tables and write none of them. A candle that shows only what is materialized is a view that can be
-- written to, and what is written there survives every refresh that is not forced.
GRANT USAGE ON SCHEMA {schema}, ticks_platform TO {role};
REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON {tables} FROM {role};
GRANT SELECT ON {tables} TO {role};
