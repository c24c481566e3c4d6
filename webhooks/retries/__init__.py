"""Retries: what the outcome of an attempt means, and when the next one is due."""
