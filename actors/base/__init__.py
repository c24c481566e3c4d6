"""What actors are made of: their common base, timers, batches, ordered streams."""
