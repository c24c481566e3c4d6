"""The common parts of actors: base classes, batches, ordered streams.

Offers `Role` and `BrokerRole`, the bases of the actors; `Outbox`, `Resequencer`, `ThreadPool`,
`NotificationPublisher` and `ConfirmedPublisher`; the choice of a deliverer for each delivery; event
modules and tracing as configured.
"""
