"""The actor that adds up what all others count: for Prometheus, for people, and for health."""
