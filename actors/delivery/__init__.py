"""From a delivery to its outcome: deliverers, the retry queue, the attempt log.

`Deliverer` sends and decides what follows, `RetryQueue` has the broker keep what is deferred, and
`AttemptLog` brings records of attempts to disk and into the store. `transports` says which
transport the settings ask for.
"""
