"""Operations: set-up, maintenance, dead letters, replays, test deliveries.

`Initializer` prepares the databases; `Maintenance` and `Redelivery` carry out the requests of
`callboard.admin`.
"""
