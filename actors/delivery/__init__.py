"""From a delivery to its outcome: deliverers, the retry queue, the attempt log.

`Deliverer` sends deliveries and acts on their outcomes, `RetryQueue` stores deferred deliveries at
the broker, and `AttemptLog` writes attempt records to disk and to the store. `transports` builds
the transport that the settings choose.
"""
