-- The role {role} reads what the platform has, and writes nothing of it. A candle that shows only what is materialized is a view
-- that can be written to: what is written there stays, unseen by every refresh but a forced one.
GRANT USAGE ON SCHEMA {schema}, ticks_platform TO {role};
REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON {tables} FROM {role};
GRANT SELECT ON {tables} TO {role};
