"""History: records of attempts, dead letters, and sending them once more."""
