"""Events of the bus: decoded messages, which of them are valid, what they may look up.

In: bodies and headers as the broker gave them. Offers `Event`, `parse_event`, `PoisonEvent` for a
message that is none, `Directory` for look-ups, the changes of documents that Kazoo publishes, and
the trace that a message belongs to.
"""
