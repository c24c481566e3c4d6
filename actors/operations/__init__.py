"""What operators ask for: set-up, maintenance, dead letters, replays, test deliveries.

`Initializer` makes what has to be in the store, `Maintenance` and `Redelivery` carry out the
requests of `callboard.admin`.
"""
