"""The dashboard's stream: one sample of the system each second, shared by all open pages."""
