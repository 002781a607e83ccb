"""Messages to people, by webhook."""
