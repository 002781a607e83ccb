"""What speaks to providers: settings, connectors, the connection. It knows nothing of the database or of Dagster."""
