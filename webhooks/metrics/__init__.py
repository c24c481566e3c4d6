"""Metrics: which there are, how actors count them, and what people are shown.

In: what actors count in a `Tally`. Offers the `catalog` of all metrics, `Totals` that never go
down, `Trend` for rates and percentiles, `Snapshot` for people, and whether the system is healthy.
"""
