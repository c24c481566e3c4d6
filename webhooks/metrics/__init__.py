"""Metrics: which there are, how actors count, and what people are shown."""
