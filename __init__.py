"""Callboard: webhooks from the events of an AMQP bus, as a supervised actor system."""
