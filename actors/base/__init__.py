"""What actors are made of: their common base, batches, ordered streams.

Offers `Role` and `BrokerRole`, the bases of the actors; `Outbox`, `Resequencer`, `ThreadPool`,
`NotificationPublisher` and `ConfirmedPublisher`; which deliverer a delivery goes to; and what the
settings say of modules and tracing.
"""
