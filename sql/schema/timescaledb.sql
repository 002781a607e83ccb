-- The extension. On a managed server it may have to be allowed first; see the provider's documentation.
CREATE EXTENSION IF NOT EXISTS timescaledb;
