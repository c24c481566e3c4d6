"""What `make bench` measures: each module here is a measure, chosen by its name.

A measure has a function `run(bench: Bench) -> Section`; the word `Bench` is explained in
`surroundings.py`. They run in the order of `MEASURES`.
"""

MEASURES = (
    "throughput",
    "latency",
    "rates",
    "stack",
    "messages",
    "fan_out",
    "slow",
    "failing",
    "hooks",
    "scaling",
    "backlog",
    "footprint",
    "attempts",
    "neighbours",
    "posting",
)
"""The measures in the order in which they run; a module that is not named here does not run."""
