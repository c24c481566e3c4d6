"""Deliveries: made of an event and a hook, encoded as a request, signed, and verified.

In: an event, the hooks that it fires, the module's payload. Offers `Delivery` and what makes them,
signatures (Standard Webhooks 1.0.0), and the check of one that arrived.
"""
