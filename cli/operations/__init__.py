"""`callboard dead-letters`, `replay`, `test-hook`, `maintenance` and `tokens`."""
