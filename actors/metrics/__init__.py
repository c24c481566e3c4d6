"""The metrics of the whole system."""
