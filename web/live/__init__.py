"""The dashboard's stream: one look at the system a second, for all open pages."""
