"""The actor that adds up the figures of all others, for Prometheus, users and health checks."""
