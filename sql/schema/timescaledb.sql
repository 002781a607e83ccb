-- The extension. On a managed server it may have to be allowed first; see the documentation of the service.
CREATE EXTENSION IF NOT EXISTS timescaledb;
