"""Deliveries: made of an event and a hook, encoded, signed and verified."""
